#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Two pods of containerd's CRI: each other, the gateway, the outside. DEL comes twice for each, the second time with
# neither namespace nor prevResult, and both succeed; nothing is left.
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
printf '%s' "\$reply"
exit "\$status"
WITNESS
  chmod +x "/opt/cni/bin/$name"
}

/usr/bin/python3 -c 'import grpc' 2>/dev/null || fail "python3-grpcio is not installed; ./run test installs what is needed"
install_plugin
install_witness
cp /usr/lib/cni/loopback /usr/lib/cni/host-local /opt/cni/bin/ # the CRI calls loopback itself, from this one directory
start_containerd cri
import_image "$image"
import_image "$pause_image" sleep 1000000
await "containerd says that its network is ready" cri ready
watch_node
say "containerd is up, its network is ready"

shop=$(cri run-pod shop "/$JAIL_ID")
customer=$(cri run-pod customer "/$JAIL_ID")
shop_address=$(cri pod-address "$shop")
customer_address=$(cri pod-address "$customer")
say "pods are $shop_address, $customer_address"
grep -q "^$subnet_pattern" <<<"$shop_address" || fail "pod shop has the address '$shop_address'"
grep -q "^$subnet_pattern" <<<"$customer_address" || fail "pod customer has the address '$customer_address'"

server=$(cri run "$shop" server "$image" sh -c "echo wares >/tmp/index.html && exec httpd -f -h /tmp")
client=$(cri run "$customer" client "$image" sleep 1000)
await "the server in pod shop answers" cri exec "$client" wget -q -O /dev/null "http://$(in_url "$shop_address")/"
expect_equal "what pod customer fetched from pod shop" \
  "$(cri exec "$client" wget -q -O - "http://$(in_url "$shop_address")/")" "wares"
expect_equal "what the node fetched from pod shop" \
  "$(python3 -c "import urllib.request; print(urllib.request.urlopen('http://$(in_url "$shop_address")/').read().decode(), end='')")" \
  "wares"
cri exec "$server" ping -c 1 -W 2 "$customer_address" >/dev/null
cri exec "$client" ping -c 1 -W 2 "$gateway" >/dev/null
cri exec "$client" ping -c 1 -W 2 "$far_address" >/dev/null
say "pods reach each other, the gateway and the outside; the node reaches a pod"

for pod in "$shop" "$customer"; do
  cri stop-pod "$pod"
  cri remove-pod "$pod"
done
expect_equal "the calls, counted" "$(sort "$WORK/calls.txt" | uniq -c | sed 's/^ *//')" \
  "2 ADD netns=yes prevResult= status=0
2 DEL netns= prevResult= status=0
2 DEL netns=yes prevResult=yes status=0"
expect_nothing_left
stop_containerd
say "each pod got DEL twice, nothing left"
