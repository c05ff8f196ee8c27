#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The reference host-local under causeway: its addresses are used, its leases end with DEL and with a failed ADD.
. "$(dirname "$0")/bed.sh"
. "$here/cni.sh"

config=$(config_with_ipam '{
  "type": "host-local",
  "ranges": [[{"subnet": "'"$subnet"'", "rangeStart": "'"$prefix"'20", "rangeEnd": "'"$prefix"'22"}]],
  "routes": [{"dst": "'"$everywhere"'"}]}')
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
  "${prefix}20/$length by $gateway, ${prefix}21/$length by $gateway"
expect_equal "one's address in its namespace" "$(in_sandbox one ip "-$version" -o addr show eth0 scope global | awk '{print $4}')" \
  "${prefix}20/$length"
expect_equal "the leases" "$(leases)" "${prefix}20=one ${prefix}21=two"
in_sandbox one ping -c 1 -W 2 "${prefix}21" >/dev/null
in_sandbox two ping -c 1 -W 2 "$gateway" >/dev/null
in_sandbox two ping -c 1 -W 2 "$far_address" >/dev/null
expect_cni CHECK one "$(netns_of one)" "$(with_previous "$config" "${result[one]}")"
say "host-local's addresses are used: $(leases)"

# The third lease is taken, then given back, because two's namespace has an eth0 already.
node_state >"$WORK/two-connected.txt"
expect_cni_fails "an interface that exists" ADD intruder "$(netns_of two)" "$config"
expect_equal "the leases after a failed ADD" "$(leases)" "${prefix}20=one ${prefix}21=two"
expect_state "$WORK/two-connected.txt"
in_sandbox two ping -c 1 -W 2 "$far_address" >/dev/null
say "a failed ADD gave its lease back"

expect_cni ADD three "$(netns_of three)" "$config"
node_state >"$WORK/three-connected.txt"
expect_cni_fails "a range with no address left" ADD four "$(netns_of four)" "$config"
grep -qF "${prefix}20-${prefix}22" <<<"$reply" || fail "the error does not carry what host-local said: $reply"
expect_state "$WORK/three-connected.txt"
expect_equal "links in four after a failed ADD" "$(in_sandbox four ip -o link | awk -F': ' '{print $2}')" lo
say "a full range: $(jq -r .msg <<<"$reply")"

expect_cni DEL one "$(netns_of one)" "$(with_previous "$config" "${result[one]}")"
expect_equal "the leases after DEL of one" "$(leases)" "${prefix}21=two ${prefix}22=three"
expect_cni DEL one "$(netns_of one)" "$(with_previous "$config" "${result[one]}")"
expect_cni DEL never-added "" "$config"
expect_cni ADD four "$(netns_of four)" "$config"
expect_equal "four's address" "$(jq -r '.ips[0].address' <<<"$reply")" "${prefix}20/$length"
in_sandbox four ping -c 1 -W 2 "${prefix}21" >/dev/null
say "the freed address was given out again"

expect_cni DEL two "" "$config" # as containerd does at the end: no namespace, no prevResult
ip netns del three
expect_cni DEL three "$(netns_of three)" "$config"
expect_cni DEL four "$(netns_of four)" "$config"
expect_equal "the leases at the end" "$(leases)" ""
for name in one two four; do ip netns del $name; done
expect_nothing_left
say "all leases freed, nothing left"
