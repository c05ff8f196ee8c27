# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What a runtime does to a plugin: variables, a configuration on stdin, a reply on stdout. Sourced after bed.sh.

# The repository's network with another `ipam`, as a plugin gets it: one plugin's configuration, not a list.
config_with_ipam() { # IPAM_JSON
  jq -c --argjson ipam "$1" '{cniVersion, name} + .plugins[0] + {ipam: $ipam}' "$conflist"
}

# Exit status: the plugin's. Its reply is in $reply.
cni() { # COMMAND CONTAINER NETNS CONFIG [IFNAME]
  local status=0
  reply=$(exec env -i PATH="$PATH" CNI_COMMAND="$1" CNI_CONTAINERID="$2" CNI_NETNS="$3" CNI_IFNAME="${5:-eth0}" \
    CNI_PATH=/opt/cni/bin:/usr/lib/cni "$plugin" <<<"$4") || status=$?
  return "$status"
}

with_previous() { echo "${1%\}},\"prevResult\":$2}"; } # CONFIG RESULT

expect_cni() { # COMMAND CONTAINER NETNS CONFIG [IFNAME]
  cni "$@" || fail "$1 of $2 says $reply"
}

# A failed command answers with an error of the specification's shape.
expect_cni_fails() { # WHAT COMMAND CONTAINER NETNS CONFIG [IFNAME]
  local what=$1
  shift
  if cni "$@"; then fail "$what: $1 of $2 succeeded: $reply"; fi
  jq -e '(.code | type == "number" and . > 0) and (.msg | type == "string" and . != "")' <<<"$reply" >/dev/null ||
    fail "$what: $1 of $2 failed with no CNI error on stdout but with: $reply"
}

make_sandbox() { ip netns add "$1"; }
in_sandbox() { nsenter --net="/run/netns/$1" -- "${@:2}"; }
netns_of() { echo "/run/netns/$1"; }
