#!/usr/bin/env bash
# gateways.sh: the CRDs of every router and KEDA's, and two gateways: Traefik, and Envoy with Contour. In a cluster of your own only what is missing is installed: CRDs that are there
# are left alone.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"
build_traefik_image() {
  "$CLUSTER_DIR/binary-image.sh" registry.example/traefik:test "$("$CLUSTER_DIR/build.sh" traefik)/traefik" "$1/traefik.tar"
}
# Envoy is driven by Contour, which runs beside it from the same image.
build_envoy_image() {
  local root=$1/root program
  mkdir -p "$root"
  mkdir -m 1777 "$root/tmp"
  for program in envoy contour; do
    install -D -m 755 "$("$CLUSTER_DIR/build.sh" "$program")/$program" "$root/usr/bin/$program"
  done
  echo "$root/usr/bin/envoy" | libraries "$root"
  nobody "$root"
  python3 "$CLUSTER_DIR/image.py" "$1/envoy.tar" registry.example/envoy:test "$root" /usr/bin/envoy
  rm -rf "$root"
}
if [ "${1:-}" = recipe ]; then
  "$2" "$3"
  exit
fi

crds=$("$CLUSTER_DIR/build.sh" crds)
for group in gateway:tlsroutes.gateway.networking.k8s.io istio:virtualservices.networking.istio.io \
  traefik:traefikservices.traefik.io contour:httpproxies.projectcontour.io keda:scaledobjects.keda.sh; do
  cluster get crd "${group#*:}" > /dev/null 2>&1 || cluster apply --server-side -f "$crds/${group%%:*}.yaml" > /dev/null
  until_established "${group#*:}"
done

traefik=$(cached images-traefik build_traefik_image "$("$CLUSTER_DIR/build.sh" traefik)" "$CLUSTER_DIR"/{image.py,binary-image.sh})
envoy=$(cached images-envoy build_envoy_image "$(declare -f libraries nobody)" "$("$CLUSTER_DIR/build.sh" envoy)" "$("$CLUSTER_DIR/build.sh" contour)" "$CLUSTER_DIR/image.py")
load_once "$traefik/traefik.tar" "$envoy/envoy.tar"
cluster apply -f "$CLUSTER_DIR/traefik.yaml" -f "$CLUSTER_DIR/envoy.yaml" > /dev/null
until_ready gateway traefik
until_ready gateway envoy
