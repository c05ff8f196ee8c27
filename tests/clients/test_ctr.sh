#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Two containers of `ctr run --cni`: each other, the gateway, the node, the outside, 10 MB, and nothing left.
. "$(dirname "$0")/bed.sh"
. "$here/containerd.sh"

unsolicited_packets() { "$causewayctl" stats -i 0 -o json | jq '.[] | select(.verdict == "drop-unsolicited").packets'; }

install_plugin
start_server
start_containerd
import_image "$image"
watch_node
say "containerd is up"

ctr_pids=()
run_container one sleep 1000
run_container two sleep 1000
for id in one two; do await "container $id runs" task_is_running "$id"; done
[ -n "$(python3 "$here/attached.py")$(tc filter show dev uplink0 ingress)" ] || fail "no program is attached to any device"

for each in "${versions[@]}"; do
  speak "$each"
  one=$(address_in one)
  two=$(address_in two)
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

  in_container one ping -c 2 -W 2 "$two" >/dev/null
  in_container two ping -c 2 -W 2 "$one" >/dev/null
  in_container one ping -c 1 -W 2 "$gateway" >/dev/null
  in_container two ping -c 1 -W 2 "$node_address" >/dev/null
  in_container one ping -c 1 -W 2 "$world_address" >/dev/null
  in_container two ping -c 1 -W 2 "$far_address" >/dev/null
  ping -c 1 -W 2 "$one" >/dev/null
  ping -c 1 -W 2 "$two" >/dev/null
  say "each other, the gateway, the node and the outside answer; both answer the node"

  : >"$WORK/server.log"
  fetched=$(in_container one sh -c "wget -q -O - http://$far_host/blob | sha256sum")
  expect_equal "the checksum of the 10 MB that container one fetched" "$fetched" "$blob_sum"
  in_container two wget -q -O /dev/null "http://$(in_url "$world_address")/hello"
  expect_equal "the only client that the server saw" "$(server_saw)" "$node_address"
  say "10 MB fetched, checksum right, the server saw $node_address"

  # The world has a route, and the node forwards: causeway alone is in the way.
  echo 1 >"/proc/sys/net/ipv$version/conf/all/forwarding"
  unsolicited=$(unsolicited_packets)
  expect_fails "the outside reaches a container that did not ask" in_world ping -c 1 -W 1 "$one"
  [ "$(unsolicited_packets)" -gt "$unsolicited" ] || fail "what nobody asked for did not come as far as causeway"
done
expect_no_rules_ever

for id in one two; do ctr_ task kill -s KILL "$id"; done
for pid in "${ctr_pids[@]}"; do wait "$pid" || [ $? = 137 ]; done
expect_nothing_left
stop_containerd
say "nothing left"
