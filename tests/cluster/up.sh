#!/usr/bin/env bash
# up.sh: start a real one-node Kubernetes (etcd, all components, containerd, CNI) in a network namespace of its own, the box.
#
# Its state is in ${FREETHREAD_BOX:-/tmp/freethread-box}, its kubeconfig there too. Does nothing when the box is healthy and
# starts afresh when it is not. down.sh ends it.
set -euo pipefail
# shellcheck source=tests/cluster/lib.sh
. "$(dirname "$0")/lib.sh"
API=https://$NODE_IP:6443
[ "$(id -u)" = 0 ] || die "the box needs root (namespaces, cgroups, mounts); or bring a cluster of your own: KUBECONFIG"
[ ${#BOX} -le 60 ] || die "FREETHREAD_BOX is too long for the sockets inside it, 60 characters at most: $BOX"

# broken COMPONENT WHAT: say what broke and show the end of that component's log.
broken() {
  say "error: $2"
  [ ! -s "$BOX/log/$1" ] || { say "the end of $BOX/log/$1:" && tail -n 20 "$BOX/log/$1" >&2; }
  exit 1
}

# wait_for COMPONENT SECONDS WHAT COMMAND...: until the command succeeds, but no longer than that or than the component lives.
wait_for() {
  local component=$1 deadline=$((SECONDS + $2)) what=$3
  shift 3
  until "$@" > /dev/null 2>&1; do
    alive "$component" || broken "$component" "$component ended while waiting for $what"
    [ $SECONDS -lt $deadline ] || broken "$component" "waited too long for $what"
    sleep 0.1
  done
}

# start COMPONENT COMMAND...: in the box's network and in a session of its own, so that it outlives this script.
start() {
  local component=$1
  shift
  # 9 is the lock: a component that held it would keep the next up.sh out.
  setsid nsenter --net="/run/netns/$NS" "$@" > "log/$component" 2>&1 < /dev/null 9>&- &
  echo "$! $(started_at $!)" > "pid/$component"
}

etcd_healthy() { in_box curl -s -m 2 http://127.0.0.1:2379/health | grep -q true; }
api_ready() { [ "$(curl -s -m 2 --cacert "$BOX/certs/ca.crt" -H "Authorization: Bearer $(cut -d, -f1 "$BOX/certs/tokens.csv")" "$API/readyz")" = ok ]; }
node_ready() { box_kubectl get node box -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' 2> /dev/null | grep -qx True; }
healthy() {
  local component
  for component in etcd containerd apiserver manager scheduler kubelet proxy; do
    alive "$component" || return 1
  done
  api_ready && node_ready && box_ctr version > /dev/null 2>&1
}

exec 9> "/tmp/.$NS.lock"
flock 9
if healthy; then
  say "the cluster is up: export KUBECONFIG=$BOX/kubeconfig"
  exit
fi
if [ -e "$BOX" ] || [ -e "/run/netns/$NS" ]; then
  say "the cluster in $BOX is not healthy: starting afresh"
  "$CLUSTER_DIR/down.sh" 9>&-
fi
kube=$("$CLUSTER_DIR/build.sh" kube 9>&-)/kube
pause=$("$CLUSTER_DIR/build.sh" pause 9>&-)/pause.tar
begun=$SECONDS
mkdir -p "$BOX"/{bin,cni,kubelet,log,pid}
mkdir -m 700 "$BOX/certs"
cd "$BOX"
# What is the first of its kind on this machine goes with the box. These places cannot be moved into it.
for folder in /run/containerd /var/lib/cni /var/lib/kubelet /var/log/containers; do
  [ -e $folder ] || echo $folder
done > made
for component in kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl; do
  ln -s "$kube" bin/$component
done

# A network of its own: nothing in it reaches out, and its iptables rules are not the host's.
ip netns add "$NS"
ip link add "$NS" type veth peer name eth0 netns "$NS"
ip addr add "$HOST_IP/28" dev "$NS"
ip link set "$NS" up
in_box ip link set lo up
in_box ip addr add "$NODE_IP/28" dev eth0
in_box ip link set eth0 up
in_box ip route add default via "$HOST_IP"
in_box sysctl -qw net.ipv4.ip_forward=1

# A cgroup of its own: a kubelet ends the pods under its root that it does not know, and those of another box are such.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mkdir -p "/sys/fs/cgroup/$NS"
else
  for controller in /sys/fs/cgroup/*/; do
    [ ! -L "${controller%/}" ] || continue
    mkdir -p "$controller$NS"
    # A new cpuset has no CPU at all.
    [ ! -e "$controller/cpuset.cpus" ] || for file in cpuset.cpus cpuset.mems; do cat "$controller$file" > "$controller$NS/$file"; done
  done
fi

cat > cni/10-bridge.conflist << END
{"cniVersion": "1.0.0", "name": "box", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$BOX/ipam", "ranges": [[{"subnet": "10.244.0.0/22"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
END
cat > containerd.toml << END
version = 2
root = "$BOX/containerd/root"
state = "$BOX/containerd/state"
[grpc]
  address = "$BOX/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$BOX/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true        # without CAP_SYS_RESOURCE runc fails with "can't get final child's PID"
  netns_mounts_under_state_dir = true  # so that nothing stays in /run/netns
  sandbox_image = "registry.example/pause:1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$BOX/cni"
END
cat > kubelet.yaml << END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}  # only the host and the pods can reach it
authorization: {mode: AlwaysAllow}
address: $NODE_IP
containerRuntimeEndpoint: unix://$BOX/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$NS
failCgroupV1: false                    # the machine may still have it
failSwapOn: false
resolvConf: ""
clusterDNS: [127.0.0.1]                # there is none: a look-up fails at once, and no pod gets a warning event about it
podLogsDir: $BOX/log/pods              # a kubelet deletes the logs of the pods that it does not know, and those of another box are such
volumePluginDir: $BOX/kubelet/volume-plugins
podCIDR: 10.244.0.0/22
maxPods: 200
eventRecordQPS: 0                      # no limit: tests read the events
imageGCHighThresholdPercent: 100       # the images cannot be pulled again
evictionHard: {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"}
enforceNodeAllocatable: []
localStorageCapacityIsolation: false
END
# What the operator does to the cluster, and nothing else: tests read it.
cat > audit.yaml << END
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
  - {level: Metadata, userGroups: ["system:serviceaccounts:freethread-system"]}
  - {level: None}
END

# An authority and a certificate that pods accept too: they reach the API server at 10.96.0.1.
certificates() {
  local name
  cd certs
  for name in ca apiserver serviceaccount; do openssl ecparam -name prime256v1 -genkey -noout -out $name.key; done
  openssl req -x509 -new -key ca.key -days 3650 -subj /CN=freethread-box -out ca.crt \
    -addext keyUsage=critical,keyCertSign,cRLSign
  cat > apiserver.ext << END
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectAltName=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:10.96.0.1,IP:127.0.0.1,IP:$NODE_IP
END
  openssl req -new -key apiserver.key -subj /CN=kube-apiserver -out apiserver.csr
  openssl x509 -req -in apiserver.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile apiserver.ext -out apiserver.crt
}
(set -e; umask 077; certificates) > log/certificates 2>&1 &
wait $! || broken certificates "openssl does not make the certificates"
token=$(openssl rand -hex 16)
(
  umask 077
  echo "$token,admin,admin,\"system:masters\"" > certs/tokens.csv
  cat > kubeconfig << END
apiVersion: v1
kind: Config
clusters: [{name: box, cluster: {server: "$API", certificate-authority: "$BOX/certs/ca.crt"}}]
users: [{name: admin, user: {token: $token}}]
contexts: [{name: box, context: {cluster: box, user: admin}}]
current-context: box
END
)

start containerd containerd --config containerd.toml
start etcd etcd --data-dir "$BOX/etcd" --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
  --listen-peer-urls http://127.0.0.1:2380
wait_for etcd 30 "etcd's health" etcd_healthy # started earlier, the API server would back off for half a minute
start apiserver bin/kube-apiserver --etcd-servers=http://127.0.0.1:2379 --bind-address="$NODE_IP" --advertise-address="$NODE_IP" \
  --secure-port="${API##*:}" --tls-cert-file=certs/apiserver.crt --tls-private-key-file=certs/apiserver.key \
  --token-auth-file=certs/tokens.csv --authorization-mode=Node,RBAC --anonymous-auth=false \
  --service-account-issuer=https://kubernetes.default.svc --service-account-key-file=certs/serviceaccount.key \
  --service-account-signing-key-file=certs/serviceaccount.key --service-cluster-ip-range=10.96.0.0/16 \
  --allow-privileged=true --kubelet-preferred-address-types=InternalIP \
  --audit-policy-file=audit.yaml --audit-log-path="$BOX/log/audit.jsonl"

# While the API server starts: the image that every pod needs.
wait_for containerd 30 "containerd's socket" box_ctr version
box_ctr images import "$pause" > log/import 2>&1 || broken import "containerd does not import the pause image"

wait_for apiserver 90 "the API server to be ready" api_ready
start manager bin/kube-controller-manager --kubeconfig=kubeconfig --service-account-private-key-file=certs/serviceaccount.key \
  --root-ca-file=certs/ca.crt --leader-elect=false --use-service-account-credentials=true --bind-address=127.0.0.1 \
  --flex-volume-plugin-dir="$BOX/kubelet/volume-plugins"
start scheduler bin/kube-scheduler --kubeconfig=kubeconfig --leader-elect=false --bind-address=127.0.0.1
start kubelet bin/kubelet --config=kubelet.yaml --kubeconfig=kubeconfig --hostname-override=box --node-ip="$NODE_IP" \
  --root-dir="$BOX/kubelet" --cert-dir="$BOX/kubelet/pki"
start proxy bin/kube-proxy --kubeconfig=kubeconfig --proxy-mode=iptables --hostname-override=box --cluster-cidr=10.244.0.0/16 \
  --conntrack-max-per-core=0 --healthz-bind-address=127.0.0.1:10256
wait_for kubelet 60 "the node to be ready" node_ready
wait_for manager 30 "the default service account, without which there are no pods" box_kubectl -n default get serviceaccount default
wait_for scheduler 30 "the scheduler's health" in_box curl -skf -m 2 https://127.0.0.1:10259/healthz
wait_for proxy 30 "kube-proxy's health" in_box curl -sf -m 2 http://127.0.0.1:10256/healthz
say "the cluster is up after $((SECONDS - begun)) s: export KUBECONFIG=$BOX/kubeconfig"
