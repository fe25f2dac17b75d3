#!/usr/bin/env bash
# gateways.sh: the CRDs of every router, and Traefik as a gateway. In a cluster of your own only what is missing is installed: CRDs that are there
# are left alone.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"
if own_cluster; then
  cluster() { kubectl "$@"; }
else
  cluster() { box_kubectl "$@"; }
fi

build_traefik_image() {
  "$CLUSTER_DIR/binary-image.sh" registry.example/traefik:test "$("$CLUSTER_DIR/build.sh" traefik)/traefik" "$1/traefik.tar"
}
if [ "${1:-}" = recipe ]; then
  "$2" "$3"
  exit
fi

crds=$("$CLUSTER_DIR/build.sh" crds)
for group in gateway:tlsroutes.gateway.networking.k8s.io istio:virtualservices.networking.istio.io \
  traefik:traefikservices.traefik.io contour:httpproxies.projectcontour.io; do
  cluster get crd "${group#*:}" > /dev/null 2>&1 || cluster apply --server-side -f "$crds/${group%%:*}.yaml" > /dev/null
  cluster wait --for=condition=Established --timeout=60s "crd/${group#*:}" > /dev/null
done

image=$(cached images-traefik build_traefik_image "$("$CLUSTER_DIR/build.sh" traefik)" "$CLUSTER_DIR"/{image.py,binary-image.sh})
stamp=$BOX/loaded/$(hash_of "$image ")
if own_cluster || [ ! -e "$stamp" ]; then
  "$CLUSTER_DIR/load-image.sh" "$image/traefik.tar"
  own_cluster || { mkdir -p "$BOX/loaded" && touch "$stamp"; }
fi
cluster apply -f "$CLUSTER_DIR/gateways.yaml" > /dev/null
if ! cluster -n gateway rollout status deployment/traefik --timeout=120s > /dev/null; then
  cluster -n gateway describe pods >&2 || true
  cluster -n gateway logs deployment/traefik --tail=20 >&2 || true
  die "Traefik is not ready"
fi
