#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Eight `ctr run --cni` at once on a node where nothing is loaded: unique addresses, all reach the world, nothing left.
. "$(dirname "$0")/bed.sh"
. "$here/containerd.sh"

crowd=8
install_plugin
start_containerd
import_image "$image"
watch_node

# Each holds its address until all have told theirs, so that an address given twice shows.
mkdir -p "$WORK/told"
pids=()
for member in $(seq $crowd); do
  ctr_ run --rm --cni --mount "type=bind,src=$WORK/told,dst=/told,options=rbind:rw" "$image" "member$member" sh -c "
    ip -o addr show eth0 | sed -n 's|.* inet6* \($subnet_pattern[^/]*\)/.*|\1|p' >/told/new$member
    ping -c 1 -W 2 $far_address >/dev/null && touch /told/reached$member
    mv /told/new$member /told/address$member
    for attempt in \$(seq 200); do
      [ \$(ls /told/address* | wc -l) -lt $crowd ] || exit 0
      sleep 0.05
    done
    exit 1" >"$WORK/member$member.log" 2>&1 &
  pids+=($!)
done
failed=0
for pid in "${pids[@]}"; do wait "$pid" || failed=$((failed + 1)); done
say "$crowd containers have run"
expect_equal "the number of containers that failed" "$failed" 0
expect_equal "the number of unique addresses" "$(cat "$WORK"/told/address* | sort -u | grep -c "^$subnet_pattern")" $crowd
expect_equal "the number that reached the world" "$(find "$WORK/told" -name 'reached*' | wc -l)" $crowd
expect_nothing_left
stop_containerd
say "unique addresses, all reached the world, nothing left"
