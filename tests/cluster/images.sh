#!/usr/bin/env bash
# images.sh: build the images of the tests, once, and load them into the cluster:
#   registry.example/orders:1.0, 1.1                the example service on standard CPython
#   registry.example/orders:1.0-py3.13t, 1.1-py3.13t  the same on the free-threaded build
#   registry.example/prometheus:test
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"
SERVICE=$REPO/examples/service
PYTHONS=$("$CLUSTER_DIR/build.sh" pythons)

# service_layers FLAVOUR FOLDER: FOLDER/python, the interpreter with its libraries and packages, and FOLDER/app.
service_layers() {
  local tree=$PYTHONS/$1 python root=$2/python app=$2/app prefix library
  mkdir -p "$root/etc" "$app/app"
  chmod 755 "$2" "$root" "$app"
  mkdir -m 1777 "$root/tmp"
  cp -a "$tree/." "$root/"
  prefix=$(echo "$root"/opt/*)
  python=$prefix/bin/python3.13
  [ "$1" = std ] || python+=t

  # pip as CPython bundles it, on the interpreter it installs for: nothing is asked of the machine's own Python.
  "$python" "$(echo "$prefix"/lib/python3.13*/ensurepip/_bundled/pip-*.whl)/pip" install --quiet --no-compile --no-deps --require-hashes \
    --only-binary=:all: --disable-pip-version-check --root-user-action=ignore -r "$SERVICE/requirements.txt"
  gcc -O1 -shared -fPIC "-I$(echo "$prefix"/include/python3.13*)" -o "$app/app/legacyext.so" "$SERVICE/legacyext.c"
  cp "$SERVICE"/{app.py,main.py,gunicorn.conf.py} "$app/app/"

  rm -rf "$prefix/include" "$prefix"/lib/{pkgconfig,python3.13*/{ensurepip,unittest,pydoc.py,lib-dynload/_tkinter.*}}
  find "$prefix/bin" -not -name 'python3*' -type f -delete
  # Compiled now: the root is read-only later, and each start would compile everything again.
  find "$root" "$app" -name __pycache__ -prune -exec rm -rf {} +
  "$python" -m compileall -q -s "$root" --invalidation-mode unchecked-hash "$prefix/lib" || true # some tests of packages are broken on purpose
  "$python" -m compileall -q -s "$app" --invalidation-mode unchecked-hash "$app/app"

  # The shared libraries that the interpreter and its modules name.
  find "$prefix" -type f \( -name '*.so' -o -path '*/bin/python3*' \) -exec ldd {} \; 2> /dev/null | grep -oE '/[^ ]+\.so[^ ]*' | sort -u |
    while read -r library; do
      [ -e "$root$library" ] || install -D "$(realpath "$library")" "$root$library"
    done
  echo 'nobody:x:65534:65534:nobody:/tmp:/bin/false' > "$root/etc/passwd"
  echo 'nobody:x:65534:' > "$root/etc/group"
}

build_orders() {
  local flavour suffix version prefix
  for flavour in std ft; do
    mkdir "$1/$flavour"
    service_layers $flavour "$1/$flavour"
    if [ $flavour = ft ]; then suffix=-py3.13t prefix=/opt/py313t; else suffix='' prefix=/opt/py313; fi
    for version in 1.0 1.1; do
      python3 "$CLUSTER_DIR/image.py" "$1/orders-$version$suffix.tar" "registry.example/orders:$version$suffix" \
        "$1/$flavour/python,$1/$flavour/app" $prefix/bin/python3 /app/main.py --workdir /app \
        --env "PATH=$prefix/bin:/usr/local/bin:/usr/bin:/bin" --env VERSION=$version --env PYTHONUNBUFFERED=1 --env PYTHONDONTWRITEBYTECODE=1 --env PYTHONFAULTHANDLER=1
    done
    rm -rf "${1:?}/$flavour"
  done
}

build_prometheus_image() {
  "$CLUSTER_DIR/binary-image.sh" registry.example/prometheus:test "$("$CLUSTER_DIR/build.sh" prometheus)/prometheus" "$1/prometheus.tar"
}

if [ "${1:-}" = recipe ]; then
  "$2" "$3"
  exit
fi
orders=$(cached images-orders build_orders "$(declare -f service_layers)" "$PYTHONS" "$CLUSTER_DIR/image.py" \
  "$SERVICE"/{app.py,main.py,gunicorn.conf.py,legacyext.c,requirements.txt})
prometheus=$(cached images-prometheus build_prometheus_image "$("$CLUSTER_DIR/build.sh" prometheus)" "$CLUSTER_DIR"/{image.py,binary-image.sh})
for tar in "$orders"/*.tar "$prometheus"/*.tar; do
  # The file's name has the hash of all that is in it: what was loaded once need not be loaded again.
  stamp=$BOX/loaded/$(hash_of "$tar ")
  if own_cluster || [ ! -e "$stamp" ]; then
    "$CLUSTER_DIR/load-image.sh" "$tar"
    own_cluster || { mkdir -p "$BOX/loaded" && touch "$stamp"; }
  fi
done
