#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Eight `ctr run --cni` at once on a node where nothing is loaded: unique addresses, all reach the world, nothing left.
. "$(dirname "$0")/bed.sh"
. "$here/containerd.sh"

crowd=8
install_plugin
start_containerd
import_image
watch_node

# Each holds its address until all have told theirs, so that an address given twice shows.
ctr_pids=()
for member in $(seq $crowd); do
  run_container "$member" sh -c "
    ip -o addr show eth0 >/told/new$member
    ping -c 1 -W 2 $far_address >/dev/null && touch /told/reached$member
    mv /told/new$member /told/$member
    for attempt in \$(seq 200); do
      [ \$(ls -d /told/[0-9] | wc -l) -lt $crowd ] || exit 0
      sleep 0.05
    done
    exit 1"
done
failed=0
for pid in "${ctr_pids[@]}"; do wait "$pid" || failed=$((failed + 1)); done
say "$crowd containers have run"
expect_equal "the number of containers that failed" "$failed" 0
expect_equal "the number of unique addresses" "$(for member in $(seq $crowd); do address_told_by "$member"; done | sort -u | wc -l)" $crowd
expect_equal "the number that reached the world" "$(find "$WORK/told" -name 'reached*' | wc -l)" $crowd
expect_nothing_left
stop_containerd
say "unique addresses, all reached the world, nothing left"
