#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""attached.py: how many programs are on each device's TCX hooks, a line for each hook that has one.

Asks the kernel itself (BPF_PROG_QUERY): the tools of Debian 12 are older than TCX. Before Linux 6.6 there is no TCX, and
nothing is printed.
"""
import ctypes
import os
import socket
import struct

SYS_BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
BPF_PROG_QUERY = 16
HOOKS = {"ingress": 46, "egress": 47}  # BPF_TCX_INGRESS, BPF_TCX_EGRESS

libc = ctypes.CDLL(None, use_errno=True)


def count_programs(ifindex, attach_type):
    # bpf_attr.query: target, attach_type, query_flags, attach_flags, prog_ids, count, padding, three pointers, revision
    attributes = ctypes.create_string_buffer(struct.pack("=IIIIQIIQQQQ", ifindex, attach_type, *[0] * 9))
    if libc.syscall(SYS_BPF, BPF_PROG_QUERY, attributes, 64) != 0:
        return 0
    return struct.unpack_from("=I", attributes, 24)[0]


for index, name in sorted(socket.if_nameindex()):
    for hook, attach_type in HOOKS.items():
        count = count_programs(index, attach_type)
        if count:
            print(f"{name} {hook}: {count}")
