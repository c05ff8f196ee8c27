#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The reference static IPAM under causeway: the address of the configuration is used, and never by two at once.
. "$(dirname "$0")/bed.sh"
. "$here/cni.sh"

config_for() { # ADDRESS
  config_with_ipam '{
    "type": "static",
    "addresses": [{"address": "'"$1/$length"'", "gateway": "'"$gateway"'"}],
    "routes": [{"dst": "'"$everywhere"'"}],
    "dns": {"nameservers": ["203.0.113.53"], "search": ["sandboxes.example"]}}'
}

of_77=$(config_for "${prefix}77")
of_78=$(config_for "${prefix}78")
watch_node
for name in one two; do make_sandbox $name; done

expect_cni ADD one "$(netns_of one)" "$of_77"
result=$reply
expect_equal "the reply's address, gateway, route and dns" \
  "$(jq -c '[.ips[0].address, .ips[0].gateway, .routes[0].dst, .dns.nameservers[0], .dns.search[0]]' <<<"$result")" \
  '["'"${prefix}77/$length"'","'"$gateway"'","'"$everywhere"'","203.0.113.53","sandboxes.example"]'
expect_equal "one's address in its namespace" "$(in_sandbox one ip "-$version" -o addr show eth0 scope global | awk '{print $4}')" \
  "${prefix}77/$length"
in_sandbox one ping -c 1 -W 2 "$gateway" >/dev/null
in_sandbox one ping -c 1 -W 2 "$far_address" >/dev/null
expect_cni CHECK one "$(netns_of one)" "$(with_previous "$of_77" "$result")"
say "the static address is used"

# static itself does not notice that an address is in use.
node_state >"$WORK/one-connected.txt"
expect_cni_fails "an address in use" ADD two "$(netns_of two)" "$of_77"
grep -qF "${prefix}77" <<<"$reply" || fail "the error does not name the address: $reply"
said=$(jq -r .msg <<<"$reply")
expect_state "$WORK/one-connected.txt"
expect_cni DEL two "$(netns_of two)" "$of_77" # as every runtime does after a failed ADD
expect_state "$WORK/one-connected.txt"
in_sandbox one ping -c 1 -W 2 "$far_address" >/dev/null
say "the address was refused to a second: $said"

expect_cni ADD two "$(netns_of two)" "$of_78"
in_sandbox two ping -c 1 -W 2 "${prefix}77" >/dev/null
expect_cni DEL one "$(netns_of one)" "$(with_previous "$of_77" "$result")"
expect_fails "a deleted sandbox answers" in_sandbox two ping -c 1 -W 0.3 "${prefix}77"
expect_cni ADD one "$(netns_of one)" "$of_77"
# two may still be asking for the neighbour that was gone, and gives up on what waits for that.
await "one answers again" in_sandbox two ping -c 1 -W 2 "${prefix}77"
say "freed by DEL, the address was taken again"

expect_cni DEL one "" "$of_77"
expect_cni DEL one "" "$of_77"
expect_cni DEL two "$(netns_of two)" "$of_78"
for name in one two; do ip netns del $name; done
expect_nothing_left
say "nothing left"
