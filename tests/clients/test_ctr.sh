#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Two containers of `ctr run --cni`: each other, the gateway, the node, the outside, 10 MB, and nothing left.
. "$(dirname "$0")/bed.sh"
. "$here/containerd.sh"

install_plugin
start_server
start_containerd
import_image
watch_node
say "containerd is up"

ctr_pids=()
for id in one two; do
  run_container $id sh -c "ip -o addr show eth0 >/told/new && mv /told/new /told/$id && exec sleep 1000"
  await "container $id runs and has told its addresses" test -f "$WORK/told/$id"
done
[ -n "$(python3 -IS "$here/attached.py")$(tc filter show dev uplink0 ingress)" ] || fail "no program is attached to any device"

for each in "${versions[@]}"; do
  speak "$each"
  one=$(address_told_by one)
  two=$(address_told_by two)
  say "one is $one, two is $two"
  grep -q "^$subnet_pattern" <<<"$one" || fail "container one has the address '$one'"
  grep -q "^$subnet_pattern" <<<"$two" || fail "container two has the address '$two'"
  [ "$one" != "$two" ] || fail "both have the address $one"
  if [ -x "$causewayctl" ]; then
    endpoints=$("$causewayctl" endpoints)
    for address in "$one" "$two"; do
      grep -qwF -- "$address" <<<"$endpoints" || fail "causewayctl endpoints does not list $address: $endpoints"
    done
  fi

  in_container one sh -c "$(pinging "$two" "$gateway" "$world_address")"
  : >"$WORK/server.log"
  fetched=$(in_container two sh -c "$(pinging "$one" "$node_address" "$far_address")
    wget -q -O /dev/null http://$(in_url "$world_address")/hello && wget -q -O - http://$far_host/blob | sha256sum")
  expect_equal "the checksum of the 10 MB that container two fetched" "$fetched" "$blob_sum"
  expect_equal "the only client that the server saw" "$(server_saw)" "$node_address"
  ping -c 1 -W 2 "$one" >/dev/null
  ping -c 1 -W 2 "$two" >/dev/null
  say "each other, the gateway, the node and the outside answer; 10 MB fetched; the server saw $node_address"

  # The world has a route, and the node forwards: causeway alone is in the way.
  echo 1 >"/proc/sys/net/ipv$version/conf/all/forwarding"
  unsolicited=$(unsolicited_packets)
  expect_fails "the outside reaches a container that did not ask" in_world ping -c 1 -W 0.3 "$one"
  [ "$(unsolicited_packets)" -gt "$unsolicited" ] || fail "what nobody asked for did not come as far as causeway"
done
expect_no_rules_ever

# Nobody calls DEL for one that ctr has left running: its namespace goes, and what causeway has of it stays until gc.
ctr_ run -d --cni --null-io "$image" three sleep 1000 >"$WORK/ctr-three.log" 2>&1
"$causewayctl" endpoints | grep -qw "$ctr_namespace-three" || fail "three is not connected: $("$causewayctl" endpoints)"
ctr_ task kill -s KILL three
await "three has ended" sh -c "ctr --address $containerd_address --namespace $ctr_namespace task ls | grep -q 'three.*STOPPED'"
ctr_ task rm three >/dev/null
ctr_ container rm three
"$causewayctl" gc --dry-run | grep -qw "$ctr_namespace-three" || fail "causewayctl gc does not see what three has left: $("$causewayctl" gc --dry-run)"
"$causewayctl" gc >"$WORK/gc.txt"
expect_equal "what causewayctl gc has left of three" "$("$causewayctl" endpoints | grep -cw "$ctr_namespace-three" || true)" 0
in_container one sh -c "$(pinging "$gateway")"
say "what ctr run -d has left is collected"

ctr_ task kill -s KILL one
ctr_ task kill -s KILL two
for pid in "${ctr_pids[@]}"; do wait "$pid" || [ $? = 137 ]; done
expect_nothing_left
stop_containerd
say "nothing left"
