#!/usr/bin/env bash
# images.sh: build the images of the tests, once, and load them into the cluster:
#   registry.example/orders:1.0, 1.1                the example service on standard CPython
#   registry.example/orders:1.0-py3.13t, 1.1-py3.13t  the same on the free-threaded build
#   registry.example/queue:1.0, 1.0-py3.13t           the example with a queue, on both
#   registry.example/redis:test                       its broker
#   registry.example/prometheus:test
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"
SERVICE=$REPO/examples/service
QUEUE=$REPO/examples/queue
PYTHONS=$("$CLUSTER_DIR/build.sh" pythons)

# layers FLAVOUR SOURCE FOLDER: FOLDER/python, the interpreter with its libraries and the packages of SOURCE, and FOLDER/app, its program.
layers() {
  local tree=$PYTHONS/$1 source=$2 python root=$3/python app=$3/app prefix
  mkdir -p "$root/etc" "$app/app"
  chmod 755 "$3" "$root" "$app"
  mkdir -m 1777 "$root/tmp"
  cp -a "$tree/." "$root/"
  prefix=$(echo "$root"/opt/*)
  python=$prefix/bin/python3.13
  [ "$1" = std ] || python+=t

  "$CLUSTER_DIR/pip.sh" "$python" install --no-deps --require-hashes --only-binary=:all: -r "$source/requirements.txt"
  [ ! -e "$source/legacyext.c" ] ||
    gcc -O1 -shared -fPIC "-I$(echo "$prefix"/include/python3.13*)" -o "$app/app/legacyext.so" "$source/legacyext.c"
  cp "$source"/*.py "$app/app/"

  rm -rf "$prefix/include" "$prefix"/lib/{pkgconfig,python3.13*/{ensurepip,unittest,pydoc.py,lib-dynload/_tkinter.*}}
  find "$prefix/bin" -not -name 'python3*' -type f -delete
  # Compiled now: the root is read-only later, and each start would compile everything again.
  find "$root" "$app" -name __pycache__ -prune -exec rm -rf {} +
  "$python" -m compileall -q -s "$root" --invalidation-mode unchecked-hash "$prefix/lib" || true # some tests of packages are broken on purpose
  "$python" -m compileall -q -s "$app" --invalidation-mode unchecked-hash "$app/app"

  find "$prefix" -type f \( -name '*.so' -o -path '*/bin/python3*' \) | libraries "$root"
  nobody "$root"
}

build_orders() {
  example orders "$SERVICE" main.py "$1" 1.0 1.1
}

build_queue() {
  example queue "$QUEUE" producer.py "$1" 1.0
}

# example NAME SOURCE PROGRAM FOLDER VERSION...: its images, for both interpreters.
example() {
  local name=$1 source=$2 program=$3 folder=$4 flavour suffix version prefix
  shift 4
  for flavour in std ft; do
    mkdir "$folder/$flavour"
    layers $flavour "$source" "$folder/$flavour"
    if [ $flavour = ft ]; then suffix=-py3.13t prefix=/opt/py313t; else suffix='' prefix=/opt/py313; fi
    for version in "$@"; do
      python3 "$CLUSTER_DIR/image.py" "$folder/$name-$version$suffix.tar" "registry.example/$name:$version$suffix" \
        "$folder/$flavour/python,$folder/$flavour/app" $prefix/bin/python3 "/app/$program" --workdir /app \
        --env "PATH=$prefix/bin:/usr/local/bin:/usr/bin:/bin" --env "VERSION=$version" --env PYTHONUNBUFFERED=1 --env PYTHONDONTWRITEBYTECODE=1 --env PYTHONFAULTHANDLER=1
    done
    rm -rf "${folder:?}/$flavour"
  done
}

# Debian's, as the machine has it. The server and the tool that checks its files are one program, which goes by its name.
build_redis() {
  local root=$1/root
  mkdir -p "$root"
  mkdir -m 1777 "$root/tmp"
  install -D "$(command -v redis-check-rdb)" "$root/usr/bin/redis-server"
  echo "$root/usr/bin/redis-server" | libraries "$root"
  nobody "$root"
  python3 "$CLUSTER_DIR/image.py" "$1/redis.tar" registry.example/redis:test "$root" /usr/bin/redis-server
  rm -rf "$root"
}

build_prometheus_image() {
  "$CLUSTER_DIR/binary-image.sh" registry.example/prometheus:test "$("$CLUSTER_DIR/build.sh" prometheus)/prometheus" "$1/prometheus.tar"
}

if [ "${1:-}" = recipe ]; then
  "$2" "$3"
  exit
fi
shared=("$(declare -f layers libraries nobody example)" "$PYTHONS" "$CLUSTER_DIR/image.py")
orders=$(cached images-orders build_orders "${shared[@]}" "$SERVICE"/{app.py,main.py,gunicorn.conf.py,legacyext.c,requirements.txt})
queue=$(cached images-queue build_queue "${shared[@]}" "$QUEUE"/{*.py,requirements.txt})
redis=$(cached images-redis build_redis "$(declare -f libraries nobody)" "$(dpkg-query -W -f '${Version}' redis-tools)" "$CLUSTER_DIR/image.py")
prometheus=$(cached images-prometheus build_prometheus_image "$("$CLUSTER_DIR/build.sh" prometheus)" "$CLUSTER_DIR"/{image.py,binary-image.sh})
load_once "$orders"/*.tar "$queue"/*.tar "$redis"/*.tar "$prometheus"/*.tar
