#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_podman.sh PLUGIN CAUSEWAYCTL CONFLIST FAMILY crun|runc
# podman with its CNI backend: two containers, each other, the outside, 10 MB, published ports and one that is taken,
# stop and start, `run --rm` with an address and a MAC, a container that ends by itself, nothing left.
. "$(dirname "$0")/bed.sh"

runtime=$5
network=$(jq -r .name "$conflist")

configure_podman() {
  mkdir -p "$WORK/podman"
  cat >"$WORK/podman/containers.conf" <<CONFIG
[containers]
log_driver = "k8s-file"
cgroupns = "host"
[network]
network_backend = "cni"
network_config_dir = "/etc/cni/net.d"
cni_plugin_dirs = ["/opt/cni/bin", "/usr/lib/cni"]
default_network = "$network"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "$runtime"
CONFIG
  cat >"$WORK/podman/storage.conf" <<CONFIG
[storage]
driver = "overlay"
graphroot = "$WORK/podman/root"
runroot = "$WORK/podman/run"
CONFIG
  export CONTAINERS_CONF=$WORK/podman/containers.conf CONTAINERS_STORAGE_CONF=$WORK/podman/storage.conf
}

podman_() { podman --tmpdir "$WORK/podman/tmp" "$@" 2>>"$WORK/podman.log"; }

podman_run() { podman_ run --cgroup-parent "/$JAIL_ID" --network "$network" "$@"; }

# Of each container, a line: its address in the version that is spoken, and its runtime.
addresses_of() { # CONTAINER...
  local key=IPAddress
  [ "$version" = 4 ] || key=GlobalIPv6Address
  podman_ inspect -f "{{range .NetworkSettings.Networks}}{{.$key}}{{end}} {{.OCIRuntime}}" "$@"
}

links_of_node() { ip -o link | wc -l; }
node_has_links() { [ "$(links_of_node)" = "$1" ]; }

published() { in_world curl -sf -m 2 "http://$(in_url "$node_address"):$1/name"; } # PORT: what the node's says to the world

install_plugin
configure_podman
start_server
make_image "$WORK/image.tar"
podman_ load -q -i "$WORK/image.tar" >/dev/null
rm "$WORK/image.tar"
watch_node
say "podman is configured"

for name in one two; do podman_run -d --name "$name" "$image" sleep 1000 >/dev/null; done
{ read -r one used; read -r two _; } <<<"$(addresses_of one two)"
expect_equal "the runtime" "$used" "$runtime"
say "one is $one, two is $two"
grep -q "^$subnet_pattern" <<<"$one" || fail "container one has the address '$one'"
grep -q "^$subnet_pattern" <<<"$two" || fail "container two has the address '$two'"
[ "$one" != "$two" ] || fail "both have the address $one"

podman_ exec two sh -c "$(pinging "$one" "$gateway" "$node_address")"
ping -c 1 -W 2 "$one" >/dev/null
fetched=$(podman_ exec one sh -c "$(pinging "$two" "$far_address")
  wget -q -O - http://$far_host/blob | sha256sum")
expect_equal "the checksum of the 10 MB that container one fetched" "$fetched" "$blob_sum"
say "each other, the gateway, the node and the outside answer; 10 MB fetched, checksum right"

# By the example's capabilities: podman passes -p on to nobody else. A range is an entry for each of its ports.
own=$(in_url "$loopback_address")
three=$(podman_run -d --name three -p 8080:80 -p 8000-8003:80-83 -p 8053:53/udp -p 8132:132/sctp -p "$own:8081:80" "$image" \
  sh -c "for port in 83 82 81 80; do
    mkdir /\$port && echo three \$port >/\$port/name && httpd -p \$port -h /\$port
  done
  exec sleep 1000")
start_datagram_server "$(podman_ inspect -f '{{.NetworkSettings.SandboxKey}}' three)" three udp:53 sctp:132
server=$!
await "the published port answers" published 8080
expect_equal "what the published port of the node says" "$(published 8080)" "three 80"
expect_equal "what the published range says" "$(published '[8000-8003]' | xargs)" "three 80 three 81 three 82 three 83"
expect_equal "what the published ports of UDP and SCTP say to the world" "$(datagrams_of_node_say udp:8053 sctp:8132)" "three's udp:53, asked by $world_address
three's sctp:132, asked by $world_address"
expect_equal "what the port of $own says to the node" "$(curl -sf -m 2 "http://$own:8081/name")" "three 80"
expect_fails "the port of $own answers the world" published 8081
kill "$server"

# What is asked of a container that gets no network: its user reads why, with the status that podman has for it.
node_state >"$WORK/three-run.txt"
status=0
podman_run --name four -p 8080:80 "$image" true || status=$?
expect_equal "the status of a run whose port is taken" "$status" 126
said=$(tail -n 1 "$WORK/podman.log")
grep -qF "publish port 8080/tcp on every address: container $three, interface eth0 has it already" <<<"$said" ||
  fail "podman does not say what causeway has said: $said"
expect_state "$WORK/three-run.txt"
expect_equal "what the published port says after another wanted it" "$(published 8080)" "three 80"
podman_ rm -f -t 0 four three >/dev/null
expect_fails "a published port of a container that is gone answers" published 8080
say "three published ports of TCP, UDP and SCTP; four was told: $said"

# A stopped container's address answers nobody; started again it is reachable as before.
links=$(links_of_node)
podman_ stop -t 0 one >/dev/null
await "the link of a stopped container goes" node_has_links $((links - 1))
expect_fails "a stopped container answers" ping -c 1 -W 0.3 "$one"
podman_ start one >/dev/null
expect_equal "the number of links after the start" "$(links_of_node)" "$links"
read -r one _ <<<"$(addresses_of one)"
grep -q "^$subnet_pattern" <<<"$one" || fail "container one, started again, has the address '$one'"
podman_ exec one sh -c "$(pinging "$two")
  wget -q -O /dev/null http://$(in_url "$world_address")/hello"
say "one was stopped and started, is $one"

# An alias is for the plugin dnsname: the example declares no capability for it.
address_option=--ip
[ "$version" = 4 ] || address_option=--ip6
reported=$(podman_run --rm $address_option "${prefix}77" --mac-address 02:00:00:00:00:77 --network-alias web "$image" \
  sh -c "$(pinging "$far_address")
    ip -o addr show eth0; cat /sys/class/net/eth0/address")
grep -q "inet6* $subnet_pattern""77/$length " <<<"$reported" || fail "run --rm had not the address that it was given: $reported"
expect_equal "its MAC" "$(tail -n 1 <<<"$reported")" 02:00:00:00:00:77
say "run --rm reached the outside by the address and the MAC that it was given"

# Nobody waits for this one: podman's own watcher calls DEL.
node_state >"$WORK/two-run.txt"
podman_run -d --name five "$image" true >/dev/null
await "the link of a container that has ended goes" node_has_links "$links"
await "the end of a container is noticed" state_is "$WORK/two-run.txt"
say "five ended by itself"

expect_equal "the only client that the server saw" "$(server_saw)" "$node_address"
expect_no_rules_ever
podman_ rm -f -t 0 one two five >/dev/null
expect_nothing_left
say "nothing left"
