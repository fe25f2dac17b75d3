#!/usr/bin/env bash
# load-image.sh TAR...: make images known to the cluster: to the box, or by IMAGE_LOADER to a cluster of your own.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"
[ $# -gt 0 ] || die "usage: load-image.sh TAR..."
if own_cluster && [ -z "${IMAGE_LOADER:-}" ]; then
  die "KUBECONFIG is a cluster of your own: set IMAGE_LOADER to the command that loads an image archive into it, which is" \
    "called with the file as its last argument, e.g. IMAGE_LOADER='kind load image-archive', IMAGE_LOADER='k3s ctr images import'"
fi
for tar in "$@"; do
  if own_cluster; then
    # Unquoted on purpose: a command with its arguments.
    # shellcheck disable=SC2086
    $IMAGE_LOADER "$tar"
  else
    [ -S "$BOX/containerd.sock" ] || die "the cluster is not up: make cluster-up"
    box_ctr images import "$tar" > /dev/null
  fi
done
