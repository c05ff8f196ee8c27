#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The reference host-local under causeway: its addresses are used, its leases end with DEL and with a failed ADD.
. "$(dirname "$0")/bed.sh"
. "$here/cni.sh"

config=$(config_with_ipam '{
  "type": "host-local",
  "ranges": [[{"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.20", "rangeEnd": "10.0.0.22"}]],
  "routes": [{"dst": "0.0.0.0/0"}]}')
network=$(jq -r .name <<<"$config")

# Addresses that are out, each with its container.
leases() {
  local address
  for address in $(ls_leases); do
    echo "${address#"$network"/}=$(head -n 1 "/var/lib/cni/networks/$address" | tr -d '\r')"
  done | paste -sd' '
}

watch_node
for name in one two three four; do make_sandbox $name; done

declare -A result
for name in one two; do
  expect_cni ADD $name "$(netns_of $name)" "$config"
  result[$name]=$reply
done
expect_equal "the addresses in the replies" \
  "$(jq -rs '[.[].ips[0] | .address + " by " + .gateway] | join(", ")' <<<"${result[one]} ${result[two]}")" \
  "10.0.0.20/24 by $gateway, 10.0.0.21/24 by $gateway"
expect_equal "one's address in its namespace" "$(in_sandbox one ip -4 -o addr show eth0 | awk '{print $4}')" 10.0.0.20/24
expect_equal "the leases" "$(leases)" "10.0.0.20=one 10.0.0.21=two"
in_sandbox one ping -c 1 -W 2 10.0.0.21 >/dev/null
in_sandbox two ping -c 1 -W 2 "$gateway" >/dev/null
in_sandbox two ping -c 1 -W 2 "$far_address" >/dev/null
expect_cni CHECK one "$(netns_of one)" "$(with_previous "$config" "${result[one]}")"
say "host-local's addresses are used: $(leases)"

# The third lease is taken, then given back, because two's namespace has an eth0 already.
node_state >"$WORK/two-connected.txt"
expect_cni_fails "an interface that exists" ADD intruder "$(netns_of two)" "$config"
expect_equal "the leases after a failed ADD" "$(leases)" "10.0.0.20=one 10.0.0.21=two"
expect_state "$WORK/two-connected.txt"
in_sandbox two ping -c 1 -W 2 "$far_address" >/dev/null
say "a failed ADD gave its lease back"

expect_cni ADD three "$(netns_of three)" "$config"
node_state >"$WORK/three-connected.txt"
expect_cni_fails "a range with no address left" ADD four "$(netns_of four)" "$config"
grep -q 10.0.0.20-10.0.0.22 <<<"$reply" || fail "the error does not carry what host-local said: $reply"
expect_state "$WORK/three-connected.txt"
expect_equal "links in four after a failed ADD" "$(in_sandbox four ip -o link | awk -F': ' '{print $2}')" lo
say "a full range: $(jq -r .msg <<<"$reply")"

expect_cni DEL one "$(netns_of one)" "$(with_previous "$config" "${result[one]}")"
expect_equal "the leases after DEL of one" "$(leases)" "10.0.0.21=two 10.0.0.22=three"
expect_cni DEL one "$(netns_of one)" "$(with_previous "$config" "${result[one]}")"
expect_cni DEL never-added "" "$config"
expect_cni ADD four "$(netns_of four)" "$config"
expect_equal "four's address" "$(jq -r '.ips[0].address' <<<"$reply")" 10.0.0.20/24
in_sandbox four ping -c 1 -W 2 10.0.0.21 >/dev/null
say "the freed address was given out again"

expect_cni DEL two "" "$config" # as containerd does at the end: no namespace, no prevResult
ip netns del three
expect_cni DEL three "$(netns_of three)" "$config"
expect_cni DEL four "$(netns_of four)" "$config"
expect_equal "the leases at the end" "$(leases)" ""
for name in one two four; do ip netns del $name; done
expect_nothing_left
say "all leases freed, nothing left"
