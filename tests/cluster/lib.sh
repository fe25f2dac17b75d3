# shellcheck shell=bash
# What the scripts of this folder share. Sourced, never run.

CLUSTER_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(cd "$CLUSTER_DIR/../.." && pwd)
CACHE=${FREETHREAD_CACHE:-$HOME/.cache/freethread-rollout}
BOX=$(realpath -m "${FREETHREAD_BOX:-/tmp/freethread-box}")
# The names of all that lies outside of the folder follow from the folder, so that two boxes can stand side by side.
BOX_ID=$(printf '%s' "$BOX" | sha256sum | cut -c1-6)
NS=ft-$BOX_ID
# The cable between host and box is a /28 of its own: .1 is the host's end, .2 the node.
NET=10.231.$((16#${BOX_ID:0:2})).$((16#${BOX_ID:2:1} * 16))
HOST_IP=${NET%.*}.$((${NET##*.} + 1))
NODE_IP=${NET%.*}.$((${NET##*.} + 2))
export CLUSTER_DIR REPO CACHE BOX NS HOST_IP NODE_IP

say() { printf '%s\n' "$*" >&2; }
die() {
  say "error: $*"
  exit 1
}

# own_cluster: is KUBECONFIG a cluster that the user brought, rather than the box?
own_cluster() { [ -n "${KUBECONFIG:-}" ] && [ "$(realpath -m "$KUBECONFIG")" != "$BOX/kubeconfig" ]; }

# hash_of FILE_OR_TEXT...: a short hash of the contents of files and of plain strings, in the order given.
hash_of() {
  local input
  for input in "$@"; do
    if [ -f "$input" ]; then cat "$input"; else printf '%s\n' "$input"; fi
  done | sha256sum | cut -c1-12
}

# cached NAME BUILD_FUNCTION INPUT...: print the folder CACHE/NAME-<hash>, and have BUILD_FUNCTION fill it first if it is not
# there; the script calls itself as `recipe BUILD_FUNCTION FOLDER` for that. The function's own text is one of the inputs: a
# changed recipe builds anew. The folder appears by a rename, whole or not at all, and a lock lets a second caller wait for
# the first instead of building the same thing again.
cached() {
  local name=$1 build=$2 path tmp
  shift 2
  path=$CACHE/$name-$(hash_of "$(declare -f "$build")" "$@")
  if [ ! -d "$path" ]; then
    mkdir -p "$CACHE"
    (
      flock 9
      [ ! -d "$path" ] || exit 0
      rm -rf "$CACHE/.$name."?????? # what a killed build left: nobody else can be at it
      tmp=$(mktemp -d "$CACHE/.$name.XXXXXX")
      say "building $name (log: $path.log)"
      # In a process of its own: inside a condition `set -e` is off, and a failed step would go unnoticed.
      if ! "$0" recipe "$build" "$tmp" > "$path.log" 2>&1 < /dev/null 9>&-; then
        tail -n 30 "$path.log" >&2
        rm -rf "$tmp"
        exit 1
      fi
      chmod 755 "$tmp"
      mv -T "$tmp" "$path"
    ) 9> "$CACHE/.$name.lock" || die "building $name failed: $path.log"
  fi
  printf '%s\n' "$path"
}

in_box() { nsenter --net="/run/netns/$NS" "$@"; } # not `ip netns exec`: that remounts /sys and hides the cgroups
box_ctr() { ctr --address "$BOX/containerd.sock" --namespace k8s.io "$@"; }
box_kubectl() { "$BOX/bin/kubectl" --kubeconfig "$BOX/kubeconfig" "$@"; }

# started_at PID: when the process began, in ticks: a number alone may be another process's after a while. Nothing for a
# process that has ended and that nobody has waited for (Z), which some first processes never do.
started_at() { sed -n 's/.*) \([^ZX] .*\)/\1/p' "/proc/$1/stat" 2> /dev/null | cut -d' ' -f20; }
# alive NAME: does the process that was started under this name still run?
alive() {
  local pid since
  read -r pid since 2> /dev/null < "$BOX/pid/$1" || return 1
  [ -n "$since" ] && [ "$(started_at "$pid")" = "$since" ]
}
