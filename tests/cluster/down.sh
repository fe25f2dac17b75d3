#!/usr/bin/env bash
# down.sh: end the box that up.sh started, by the ids it wrote down, and leave no trace: processes, mounts, network, cgroups.
set -uo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh" || exit 1
: "${BOX:?}" "${NS:?}"
cd /
# A mistyped FREETHREAD_BOX must not cost anybody a folder.
if [ -e "$BOX" ] && [ ! -d "$BOX/pid" ] && [ -n "$(ls -A "$BOX")" ]; then
  die "$BOX is not the folder of a test cluster: not touching it"
fi

# end SIGNAL COMPONENT...: signal those that live.
end() {
  local signal=$1 component pid
  shift
  for component in "$@"; do
    if alive "$component"; then
      read -r pid _ < "$BOX/pid/$component"
      kill "-$signal" "$pid" 2> /dev/null
    fi
  done
}
# await TENTHS COMPONENT...: until they have ended.
await() {
  local tenths=$1 component
  shift
  for component in "$@"; do
    while alive "$component" && [ $((tenths--)) -gt 0 ]; do sleep 0.1; done
  done
}
# The processes in the pods of this box: those in its cgroup.
pods() { find /sys/fs/cgroup/*/"$NS" /sys/fs/cgroup/"$NS" -name cgroup.procs -exec cat {} + 2> /dev/null | sort -u; }
# The shims that containerd left to them: this box's socket is among their arguments.
shims() {
  local process arguments
  for process in /proc/[0-9]*; do
    mapfile -d '' -t arguments 2> /dev/null < "$process/cmdline" || continue
    [[ ${arguments[0]:-} == *containerd-shim* && " ${arguments[*]} " == *" $BOX/containerd.sock "* ]] && echo "${process#/proc/}"
  done
}

end TERM kubelet proxy scheduler manager
await 20 kubelet
end KILL kubelet proxy scheduler manager
end TERM apiserver
for process in $(pods) $(shims); do kill -KILL "$process" 2> /dev/null; done
end TERM containerd etcd
await 20 containerd etcd apiserver
end KILL containerd etcd apiserver
await 20 containerd etcd apiserver
for process in $(pods) $(shims); do kill -KILL "$process" 2> /dev/null; done

awk -v box="$BOX/" 'index($2, box) == 1 {print $2}' /proc/mounts | sort -r | xargs -r umount -l 2> /dev/null
ip link del "$NS" 2> /dev/null
[ ! -e "/run/netns/$NS" ] || ip netns del "$NS"
for _ in $(seq 50); do # a cgroup goes when the last process in it has been reaped
  folders=$(find /sys/fs/cgroup/*/"$NS" /sys/fs/cgroup/"$NS" -depth -type d 2> /dev/null)
  [ -n "$folders" ] || break
  xargs -d '\n' rmdir 2> /dev/null <<< "$folders" || sleep 0.1
done

# What containerd and the kubelet keep outside of the box, by the pods' names; a pod that ended earlier has left nothing.
for task in "$BOX"/containerd/state/io.containerd.runtime.v2.task/k8s.io/*/; do
  [ -d "$task" ] || continue
  address=$(cat "$task/address" 2> /dev/null)
  [[ $address != unix:///run/containerd/s/* ]] || rm -f "${address#unix://}"
  task=$(basename "$task")
  rm -rf "/run/containerd/runc/k8s.io/$task"
  rm -f /var/lib/cni/results/*-"$task"-*
done
find /var/log/containers -lname "$BOX/*" -delete 2> /dev/null
if grep -qx /var/lib/kubelet "$BOX/made" 2> /dev/null; then rm -f /var/lib/kubelet/device-plugins/{kubelet.sock,DEPRECATION}; fi
if [ -f "$BOX/made" ]; then xargs -r -I{} find {} -depth -type d -empty -delete < "$BOX/made" 2> /dev/null; fi

rm -rf --one-file-system "$BOX" || die "something in $BOX is still in use"
rm -f "/tmp/.$NS.lock"
if [ -n "$folders" ]; then die "the cgroups $NS are still in use"; fi
