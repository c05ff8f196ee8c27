# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# A containerd of the test's own: root, state, address and configuration under $WORK, shims' sockets in the jail's /run.
# Sourced after bed.sh.

containerd_address=$WORK/containerd/socket
ctr_namespace=$JAIL_ID # also the parent of the cgroups of what ctr runs

containerd_config() { # [cri]
  cat <<CONFIG
version = 2
root = "$WORK/containerd/root"
state = "$WORK/containerd/state"
oom_score = 0
disabled_plugins = [$([ "${1:-}" = cri ] || echo '"io.containerd.grpc.v1.cri"')]
[grpc]
  address = "$containerd_address"
[ttrpc]
  address = "$containerd_address.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "$WORK/containerd/opt"
CONFIG
  [ "${1:-}" = cri ] || return 0
  cat <<CONFIG
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$image"
  restrict_oom_score_adj = true
  disable_tcp_service = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
CONFIG
}

ctr_() { ctr --address "$containerd_address" --namespace "$ctr_namespace" "$@"; }

start_containerd() { # [cri]
  mkdir -p "$WORK/containerd"
  containerd_config "$@" >"$WORK/containerd/config.toml"
  containerd --config "$WORK/containerd/config.toml" --log-level warn >"$WORK/containerd.log" 2>&1 &
  containerd_pid=$!
  await "containerd answers" ctr_ version
}

import_image() {
  make_image "$WORK/image.tar"
  ctr_ image import "$WORK/image.tar" >"$WORK/import.txt" 2>&1
  rm "$WORK/image.tar"
}

stop_containerd() {
  kill "$containerd_pid"
  wait "$containerd_pid" 2>/dev/null || true
}

# `ctr run` in the background: only a ctr that stays until the container ends calls DEL. The container has the node's
# $WORK/told as /told.
run_container() { # ID COMMAND...; adds to $ctr_pids
  mkdir -p "$WORK/told"
  (trap - ERR; ctr_ run --rm --cni --null-io \
    --mount "type=bind,src=$WORK/told,dst=/told,options=rbind:rw" "$image" "$@" >"$WORK/ctr-$1.log" 2>&1) &
  ctr_pids+=($!)
}

in_container() { # ID COMMAND...
  local id=$1
  shift
  exec_count=$((${exec_count:-0} + 1))
  ctr_ task exec --exec-id "exec-$BASHPID-$exec_count" "$id" "$@"
}

# Of the subnet, in the version of IP that is spoken, from what `ip -o addr` has said into /told/ID.
address_told_by() { sed -n "s|.* inet6* \($subnet_pattern[^/]*\)/.*|\1|p" "$WORK/told/$1"; } # ID
