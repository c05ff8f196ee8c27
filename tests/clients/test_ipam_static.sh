#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The reference static IPAM under causeway: the address of the configuration is used, and never by two at once.
. "$(dirname "$0")/bed.sh"
. "$here/cni.sh"

config_for() { # ADDRESS
  config_with_ipam '{
    "type": "static",
    "addresses": [{"address": "'"$1"'/24", "gateway": "'"$gateway"'"}],
    "routes": [{"dst": "0.0.0.0/0"}],
    "dns": {"nameservers": ["203.0.113.53"], "search": ["sandboxes.example"]}}'
}

watch_node
for name in one two; do make_sandbox $name; done

expect_cni ADD one "$(netns_of one)" "$(config_for 10.0.0.77)"
result=$reply
expect_equal "the reply's address, gateway, route and dns" \
  "$(jq -c '[.ips[0].address, .ips[0].gateway, .routes[0].dst, .dns.nameservers[0], .dns.search[0]]' <<<"$result")" \
  '["10.0.0.77/24","'$gateway'","0.0.0.0/0","203.0.113.53","sandboxes.example"]'
expect_equal "one's address in its namespace" "$(in_sandbox one ip -4 -o addr show eth0 | awk '{print $4}')" 10.0.0.77/24
in_sandbox one ping -c 1 -W 2 "$gateway" >/dev/null
in_sandbox one ping -c 1 -W 2 "$far_address" >/dev/null
expect_cni CHECK one "$(netns_of one)" "$(with_previous "$(config_for 10.0.0.77)" "$result")"
say "the static address is used"

# static itself does not notice that an address is in use.
node_state >"$WORK/one-connected.txt"
expect_cni_fails "an address in use" ADD two "$(netns_of two)" "$(config_for 10.0.0.77)"
grep -q '10\.0\.0\.77' <<<"$reply" || fail "the error does not name the address: $reply"
said=$(jq -r .msg <<<"$reply")
expect_state "$WORK/one-connected.txt"
expect_cni DEL two "$(netns_of two)" "$(config_for 10.0.0.77)" # as every runtime does after a failed ADD
expect_state "$WORK/one-connected.txt"
in_sandbox one ping -c 1 -W 2 "$far_address" >/dev/null
say "the address was refused to a second: $said"

expect_cni ADD two "$(netns_of two)" "$(config_for 10.0.0.78)"
in_sandbox two ping -c 1 -W 2 10.0.0.77 >/dev/null
expect_cni DEL one "$(netns_of one)" "$(with_previous "$(config_for 10.0.0.77)" "$result")"
expect_fails "a deleted sandbox answers" in_sandbox two ping -c 1 -W 1 10.0.0.77
expect_cni ADD one "$(netns_of one)" "$(config_for 10.0.0.77)"
in_sandbox two ping -c 1 -W 2 10.0.0.77 >/dev/null
say "freed by DEL, the address was taken again"

expect_cni DEL one "" "$(config_for 10.0.0.77)"
expect_cni DEL one "" "$(config_for 10.0.0.77)"
expect_cni DEL two "$(netns_of two)" "$(config_for 10.0.0.78)"
for name in one two; do ip netns del $name; done
expect_nothing_left
say "nothing left"
