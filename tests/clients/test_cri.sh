#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Two pods of containerd's CRI: each other, the gateway, the outside; one publishes ports and has a bandwidth, and a
# third wants its port. DEL comes twice for each, the second time with neither namespace nor prevResult, and both
# succeed; nothing is left.
. "$(dirname "$0")/bed.sh"
. "$here/containerd.sh"

ctr_namespace=k8s.io # where the CRI looks for its images
name=$(basename "$plugin")

# Debian's grpc belongs to Debian's python, whichever python3 comes first on the PATH.
cri() { /usr/bin/python3 "$here/cri.py" "$containerd_address" "$@"; }

# Stands before the plugin and notes each call: command, has a namespace, has a prevResult, exit status.
install_witness() {
  mkdir "$WORK/real"
  mv "/opt/cni/bin/$name" "$WORK/real/"
  cat >"/opt/cni/bin/$name" <<WITNESS
#!/bin/bash
request=\$(cat)
reply=\$("$WORK/real/$name" <<<"\$request")
status=\$?
printf '%s netns=%s prevResult=%s status=%s\n' "\$CNI_COMMAND" "\${CNI_NETNS:+yes}" \
  "\$(jq -r 'if .prevResult then "yes" else "" end' <<<"\$request")" "\$status" >>"$WORK/calls.txt"
[ "\$CNI_COMMAND" != ADD ] || jq -c .runtimeConfig <<<"\$request" >>"$WORK/asked.txt"
printf '%s' "\$reply"
exit "\$status"
WITNESS
  chmod +x "/opt/cni/bin/$name"
}

[ -d /usr/lib/python3/dist-packages/grpc ] || fail "python3-grpcio is not installed; ./run test installs what is needed"
install_plugin
install_witness
cp /usr/lib/cni/loopback /usr/lib/cni/host-local /opt/cni/bin/ # the CRI calls loopback itself, from this one directory
start_containerd cri
import_image
await "containerd says that its network is ready" cri ready
mkdir "$WORK/www"
echo "the node's own" >"$WORK/www/index.html"
busybox httpd -f -p 8080 -h "$WORK/www" & # a published port goes before it
watch_node
say "containerd is up, its network is ready"

expect_equal "what the world fetched before a pod published the port" "$(port_of_node_says in_world)" "the node's own"

# What is printed of a pod: its id, and an address of each version.
shop=$(cri run-pod shop "/$JAIL_ID" 8080:80 8053:53/udp 8132:132/sctp 127.0.0.1:8081:80 kubernetes.io/ingress-bandwidth=8M kubernetes.io/egress-bandwidth=16M)
customer=$(cri run-pod customer "/$JAIL_ID")
say "pods are $shop, $customer"
address_of() { tr ' ' '\n' <<<"$1" | grep "^$subnet_pattern" || fail "'$1' has no address of $subnet"; }

cri run "${shop%% *}" server "$image" sh -c "echo wares >/tmp/index.html && exec httpd -f -h /tmp" >/dev/null
for netns in /run/netns/cni-*; do
  if nsenter --net="$netns" ip -o addr | grep -qwF -- "$(address_of "$shop")"; then start_datagram_server "$netns" shop udp:53 sctp:132; fi
done
server=$!
client=$(cri run "${customer%% *}" client "$image" sleep 1000)
errand=
for each in "${versions[@]}"; do
  speak "$each"
  url=http://$(in_url "$(address_of "$shop")")/
  await "the server in pod shop answers the node" curl -sf "$url"
  expect_equal "what the node fetched from pod shop" "$(curl -sf "$url")" wares
  errand+="$(pinging "$gateway" "$far_address")"$'\n'"wget -q -O - $url"$'\n'
  ping -c 1 -W 2 "$(address_of "$customer")" >/dev/null
  expect_equal "what the world fetched from the published port" "$(port_of_node_says in_world)" wares
  expect_equal "what the node fetched from the published port" "$(port_of_node_says)" wares
  expect_equal "what the published ports of UDP and SCTP say to the world" "$(datagrams_of_node_say udp:8053 sctp:8132)" "shop's udp:53, asked by $world_address
shop's sctp:132, asked by $world_address"
  expect_fails "the port of 127.0.0.1 answers the world" in_world curl -sf -m 2 "http://$(in_url "$node_address"):8081/"
done
expect_equal "what the node fetched from the port of 127.0.0.1" "$(curl -sf -m 2 http://127.0.0.1:8081/)" wares
kill "$server"
expect_equal "what pod customer fetched from pod shop" "$(cri exec "$client" sh -c "$errand" | sort | uniq -c | xargs)" \
  "${#versions[@]} wares"
say "pods reach each other, the gateway and the outside; the node reaches a pod"

# go-cni writes these keys in its own way, and adds a burst that nobody asked for.
expect_equal "what containerd asks for pod shop" "$(head -n 1 "$WORK/asked.txt")" '{"bandwidth":{"IngressRate":8000000,'\
'"IngressBurst":4294967295,"EgressRate":16000000,"EgressBurst":4294967295},'\
'"portMappings":[{"HostPort":8080,"ContainerPort":80,"Protocol":"tcp","HostIP":""},'\
'{"HostPort":8053,"ContainerPort":53,"Protocol":"udp","HostIP":""},'\
'{"HostPort":8132,"ContainerPort":132,"Protocol":"sctp","HostIP":""},'\
'{"HostPort":8081,"ContainerPort":80,"Protocol":"tcp","HostIP":"127.0.0.1"}]}'
rates() { "$@" tc qdisc show | sed -n 's/.*tbf .* rate \([^ ]*\) .*/\1/p'; }
expect_equal "the rates of the queues at the host ends" "$(rates)" 8Mbit
expect_equal "the rates of the queues in the pods" \
  "$(for netns in /run/netns/cni-*; do rates nsenter --net="$netns"; done)" 16Mbit
say "pod shop has published ports of TCP, UDP and SCTP and has its bandwidth"

# A pod whose ADD fails: the kubelet is told why, and the third pod has left nothing.
node_state >"$WORK/both-run.txt"
if said=$(cri run-pod rival "/$JAIL_ID" 8080:80 2>&1); then fail "the port that pod shop has was published for pod rival"; fi
grep -qF "publish port 8080/tcp on every address: container ${shop%% *}, interface eth0 has it already" <<<"$said" ||
  fail "the error of the CRI does not carry causeway's: $said"
expect_state "$WORK/both-run.txt"
say "a port that is taken: $said"

cri stop-and-remove-pods "${shop%% *}" "${customer%% *}"
expect_equal "what the world fetched when the pod had gone" "$(port_of_node_says in_world)" "the node's own"
expect_equal "the calls, counted" "$(sort "$WORK/calls.txt" | uniq -c | sed 's/^ *//')" \
  "2 ADD netns=yes prevResult= status=0
1 ADD netns=yes prevResult= status=1
2 DEL netns= prevResult= status=0
1 DEL netns=yes prevResult= status=0
2 DEL netns=yes prevResult=yes status=0"
expect_nothing_left
stop_containerd
say "each pod got DEL twice, nothing left"
