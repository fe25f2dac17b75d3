#!/usr/bin/env bash
# prometheus.sh: install the tests' Prometheus in the cluster and wait until it is ready.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"
cluster apply -f "$CLUSTER_DIR/prometheus.yaml" > /dev/null
until_ready monitoring prometheus
