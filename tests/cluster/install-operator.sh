#!/usr/bin/env bash
# install-operator.sh IMAGE NAMESPACE [HELM OPTION...]: the operator by its own chart, as a user installs it, and wait until both
# replicas are warm.
set -euo pipefail
cd "$(dirname "$0")/../.."
image=$1 namespace=$2
shift 2
helm=$(tests/cluster/build.sh helm)/helm
# There is no DNS in the test cluster, so the profile names Prometheus by the address of its Service.
prometheus=$(kubectl -n monitoring get service prometheus -o jsonpath='{.spec.clusterIP}')
# An uninstallation that failed half way is neither a release that could be upgraded nor none.
if [ -n "$("$helm" list --namespace "$namespace" --uninstalling --short)" ]; then
  "$helm" uninstall freethread-rollout --namespace "$namespace" --no-hooks --wait --timeout 1m
fi
"$helm" upgrade --install freethread-rollout charts/freethread-rollout --namespace "$namespace" --create-namespace \
  --set image.repository="${image%:*}" --set image.tag="${image##*:}" --set image.pullPolicy=IfNotPresent \
  --set prometheus.default.url="http://$prometheus:9090" --set prometheus.default.scrapeInterval=1s \
  --set prometheus.default.userQueries=true \
  --set routers.httpRoute=true --set routers.grpcRoute=true --set routers.virtualService=true \
  --set routers.traefikService=true --set routers.httpProxy=true --set flags.enabled=true \
  --set-string podAnnotations.image-id="$(sha256sum target/operator-image.tar | cut -c1-16)" \
  "$@" --wait --timeout 3m
