#!/usr/bin/env bash
# uninstall-operator.sh NAMESPACE: what install-operator.sh installed, as a user uninstalls it. What is not given back fails it.
set -euo pipefail
cd "$(dirname "$0")/../.."
helm=$(tests/cluster/build.sh helm)/helm
"$helm" uninstall freethread-rollout --namespace "$1" --wait --timeout 5m
