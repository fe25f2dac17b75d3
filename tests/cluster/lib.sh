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

# cluster ARGUMENT...: kubectl for the box, or for a cluster of the user's own.
cluster() { if own_cluster; then kubectl "$@"; else box_kubectl "$@"; fi; }

# load_once TAR...: images into the cluster. A file's name has the hash of all that is in it: what was loaded once need not be loaded again.
load_once() {
  local tar stamp
  for tar in "$@"; do
    stamp=$BOX/loaded/$(hash_of "$tar ")
    if own_cluster || [ ! -e "$stamp" ]; then
      "$CLUSTER_DIR/load-image.sh" "$tar"
      own_cluster || { mkdir -p "$BOX/loaded" && touch "$stamp"; }
    fi
  done
}

# libraries ROOT: into ROOT, the shared libraries of the files that are named on the standard input.
libraries() {
  local library
  { xargs -n 1 ldd 2> /dev/null || true; } | grep -oE '/[^ ]+\.so[^ ]*' | sort -u |
    while read -r library; do
      [ -e "$1$library" ] || install -D "$(realpath "$library")" "$1$library"
    done
}

# nobody ROOT: the one user.
nobody() {
  mkdir -p "$1/etc"
  echo 'nobody:x:65534:65534:nobody:/tmp:/bin/false' > "$1/etc/passwd"
  echo 'nobody:x:65534:' > "$1/etc/group"
}

# until_ready NAMESPACE DEPLOYMENT: wait for it, and say why it is not.
until_ready() {
  cluster -n "$1" rollout status "deployment/$2" --timeout=120s > /dev/null && return
  cluster -n "$1" describe pods >&2 || true
  cluster -n "$1" logs "deployment/$2" --tail=20 >&2 || true
  die "$2 is not ready"
}

# until_established CRD: wait until it is served. `kubectl wait` fails at once on a CRD that is so new that it has no conditions.
until_established() {
  local deadline=$((SECONDS + 120))
  until cluster wait --for=condition=Established --timeout=30s "crd/$1" > /dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || die "the CRD $1 is not served: $(cluster get crd "$1" -o jsonpath='{.status.conditions}' 2>&1)"
    sleep 0.2
  done
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
