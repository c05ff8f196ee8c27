#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""cri.py SOCKET VERB [ARGUMENT...]: what a kubelet asks of a CRI runtime (runtime.v1), as far as pods need it.

  ready                            exit status 0 if the runtime says that its network is ready
  run-pod NAME CGROUP_PARENT [[HOST_IP:]HOST_PORT:PORT[/PROTOCOL] | ANNOTATION=VALUE]...
                                   prints the pod's id and its addresses
  run POD NAME IMAGE COMMAND...    creates and starts a container; prints its id
  exec CONTAINER COMMAND...        prints its output; its exit status
  stop-and-remove-pods POD...      all are stopped, then all removed

Needs grpc only: the few protobuf messages are written and read here, as lists of (field number, value).
"""
import sys

import grpc

VARINT, LENGTH_DELIMITED = 0, 2
PROTOCOLS = {"tcp": 0, "udp": 1, "sctp": 2}


def write_varint(number):
    septets = bytearray()
    while number > 0x7F:
        septets.append(number & 0x7F | 0x80)
        number >>= 7
    septets.append(number)
    return bytes(septets)


def write_message(fields):
    """A value is an int, a str or a message (a list of fields)."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += write_varint(number << 3 | VARINT) + write_varint(value)
            continue
        content = value.encode() if isinstance(value, str) else write_message(value)
        out += write_varint(number << 3 | LENGTH_DELIMITED) + write_varint(len(content)) + content
    return out


class Message:
    """A message as received. Absent fields read as protobuf's defaults."""

    def __init__(self, content):
        self.fields = {}
        self.content, self.position = content, 0
        while self.position < len(content):
            tag = self._varint()
            if tag & 7 == VARINT:
                value = self._varint()
            elif tag & 7 == LENGTH_DELIMITED:
                length = self._varint()
                value = content[self.position:self.position + length]
                self.position += length
            else:
                raise ValueError(f"wire type {tag & 7} is in no message of the CRI")
            self.fields.setdefault(tag >> 3, []).append(value)

    def _varint(self):
        number = shift = 0
        while True:
            septet = self.content[self.position]
            self.position += 1
            number |= (septet & 0x7F) << shift
            shift += 7
            if septet < 0x80:
                return number

    def number(self, field):
        return self.fields.get(field, [0])[-1]

    def text(self, field):
        return self.fields.get(field, [b""])[-1].decode()

    def message(self, field):
        return Message(self.fields.get(field, [b""])[-1])

    def messages(self, field):
        return [Message(content) for content in self.fields.get(field, [])]


class Runtime:
    def __init__(self, socket):
        self.channel = grpc.insecure_channel("unix://" + socket)

    def call(self, method, *fields):
        rpc = self.channel.unary_unary("/runtime.v1.RuntimeService/" + method)
        return Message(rpc(write_message(fields), timeout=30, wait_for_ready=True))


def pod_config(name, cgroup_parent, *wishes):
    metadata = [(1, name), (2, "uid-of-" + name), (3, "default")]
    linux = [(1, cgroup_parent)]
    config = [(1, metadata), (2, name), (3, "/run/pod-logs"), (8, linux)]
    for wish in wishes:
        key, is_annotation, value = wish.partition("=")
        if is_annotation:
            config.append((7, [(1, key), (2, value)]))
        else:
            ends, _, protocol = wish.partition("/")
            *host_ip, host_port, port = ends.rsplit(":", 2)
            config.append((5, [(1, PROTOCOLS[protocol or "tcp"]), (2, int(port)), (3, int(host_port)), (4, "".join(host_ip))]))
    return config


def ready(runtime):
    for condition in runtime.call("Status").message(1).messages(1):
        if condition.text(1) == "NetworkReady":
            return 0 if condition.number(2) else 1
    return 1


def run_pod(runtime, name, cgroup_parent, *wishes):
    pod = runtime.call("RunPodSandbox", (1, pod_config(name, cgroup_parent, *wishes))).text(1)
    network = runtime.call("PodSandboxStatus", (1, pod)).message(1).message(5)
    print(pod, network.text(1), *(further.text(1) for further in network.messages(2)))


def run(runtime, pod, name, image, *command):
    config = [(1, [(1, name)]), (2, [(1, image)])] + [(3, word) for word in command] + [(11, name + ".log")]
    container = runtime.call("CreateContainer", (1, pod), (2, config), (3, pod_config("any", ""))).text(1)
    runtime.call("StartContainer", (1, container))
    print(container)


def execute(runtime, container, *command):
    reply = runtime.call("ExecSync", (1, container), *((2, word) for word in command), (3, 20))
    sys.stdout.write(reply.text(1))
    sys.stderr.write(reply.text(2))
    return reply.number(3)


def stop_and_remove_pods(runtime, *pods):
    for pod in pods:
        runtime.call("StopPodSandbox", (1, pod))
    for pod in pods:
        runtime.call("RemovePodSandbox", (1, pod))


VERBS = {"ready": ready, "run-pod": run_pod, "run": run, "exec": execute,
         "stop-and-remove-pods": stop_and_remove_pods}


def main():
    socket, verb, *arguments = sys.argv[1:]
    try:
        return VERBS[verb](Runtime(socket), *arguments)
    except grpc.RpcError as error:
        return f"{verb}: {error.code().name}: {error.details()}"


sys.exit(main())
