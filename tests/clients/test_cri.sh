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

[ -d /usr/lib/python3/dist-packages/grpc ] || fail "python3-grpcio is not installed; ./run test installs what is needed"
install_plugin
install_witness
cp /usr/lib/cni/loopback /usr/lib/cni/host-local /opt/cni/bin/ # the CRI calls loopback itself, from this one directory
start_containerd cri
import_image
await "containerd says that its network is ready" cri ready
watch_node
say "containerd is up, its network is ready"

# What is printed of a pod: its id, and an address of each version.
shop=$(cri run-pod shop "/$JAIL_ID")
customer=$(cri run-pod customer "/$JAIL_ID")
say "pods are $shop, $customer"
address_of() { tr ' ' '\n' <<<"$1" | grep "^$subnet_pattern" || fail "'$1' has no address of $subnet"; }

cri run "${shop%% *}" server "$image" sh -c "echo wares >/tmp/index.html && exec httpd -f -h /tmp" >/dev/null
client=$(cri run "${customer%% *}" client "$image" sleep 1000)
for each in "${versions[@]}"; do
  speak "$each"
  url=http://$(in_url "$(address_of "$shop")")/
  await "the server in pod shop answers the node" curl -sf "$url"
  expect_equal "what the node fetched from pod shop" "$(curl -sf "$url")" wares
  expect_equal "what pod customer fetched from pod shop" \
    "$(cri exec "$client" sh -c "$(pinging "$gateway" "$far_address")
      wget -q -O - $url")" wares
  ping -c 1 -W 2 "$(address_of "$customer")" >/dev/null
done
say "pods reach each other, the gateway and the outside; the node reaches a pod"

cri stop-pods "${shop%% *}" "${customer%% *}"
cri remove-pods "${shop%% *}" "${customer%% *}"
expect_equal "the calls, counted" "$(sort "$WORK/calls.txt" | uniq -c | sed 's/^ *//')" \
  "2 ADD netns=yes prevResult= status=0
2 DEL netns= prevResult= status=0
2 DEL netns=yes prevResult=yes status=0"
expect_nothing_left
stop_containerd
say "each pod got DEL twice, nothing left"
