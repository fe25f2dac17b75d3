#!/usr/bin/env bash
# deps.sh [box|build]: what the test cluster needs of the machine (Debian or Ubuntu). Installs what is missing when root,
# else says what to install. `build` is enough for a cluster of your own: only what compiles the images.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"

packages=(
  ca-certificates curl debian-archive-keyring openssl python3 util-linux
  # the interpreters and the pause image; the libraries give zlib, ssl, sqlite3, bz2, lzma, ctypes and readline to Python
  gcc libc6-dev make xz-utils pkg-config
  zlib1g-dev libssl-dev libsqlite3-dev libbz2-dev liblzma-dev libffi-dev libreadline-dev
  redis-tools # has the server too, under another name, and starts none
)
[ "${1:-box}" = build ] || packages+=(etcd-server containerd runc containernetworking-plugins iptables iproute2 procps)

missing() {
  local package
  for package in "${packages[@]}"; do
    # One query each, and no apt: this takes milliseconds when all is there.
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null)" = installed ] || echo "$package"
  done
}

command -v dpkg-query > /dev/null || die "this is no Debian: bring a cluster of your own (KUBECONFIG), see tests/cluster/README.md"
mapfile -t todo < <(missing)
if [ ${#todo[@]} -gt 0 ]; then
  [ "$(id -u)" = 0 ] || die "missing packages, install them as root: apt-get install ${todo[*]}"
  say "installing ${todo[*]}"
  log=$(mktemp)
  # The packages bring services (etcd, containerd) that would start at once: the box starts its own, so forbid that.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' > $policy
    chmod 755 $policy
    trap 'rm -f $policy' EXIT
  fi
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${todo[@]}"; } > "$log" 2>&1 < /dev/null || {
    tail -n 20 "$log" >&2
    die "apt-get install failed: $log"
  }
  rm -f "$log"
fi
command -v go > /dev/null || die "Go 1.26 or newer is needed to build Kubernetes and Prometheus"
