#!/usr/bin/env bash
# prometheus.sh: install the tests' Prometheus in the cluster and wait until it is ready.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"
if own_cluster; then
  cluster() { kubectl "$@"; }
else
  cluster() { box_kubectl "$@"; }
fi
cluster apply -f "$CLUSTER_DIR/prometheus.yaml" > /dev/null
if ! cluster -n monitoring rollout status deployment/prometheus --timeout=120s > /dev/null; then
  cluster -n monitoring describe pods >&2 || true
  cluster -n monitoring logs deployment/prometheus --tail=20 >&2 || true
  die "Prometheus is not ready"
fi
