#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""datagram.py VERB ...: a server and a client of UDP and SCTP, where an image has none.

  answer NAME PROTOCOL:PORT...     says "ready", and then for ever to whoever asks any of these ports:
                                   "NAME's PROTOCOL:PORT, asked by ADDRESS"
  ask ADDRESS PROTOCOL:PORT...     prints what each of them answers, a line each; exit status 1 where one does not in time

The kernel need not speak SCTP: an INIT asks and an INIT ACK answers (RFC 9260, section 3.3), by raw sockets.
"""
import select
import socket
import struct
import sys

PATIENCE = 2.0
INIT, INIT_ACK = 1, 2
OWN_PORT = 40000  # of who asks by SCTP


def crc32c(content):
    register = 0xFFFFFFFF
    for octet in content:
        register ^= octet
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def sctp_packet(ports, tag, chunk_type, text):
    """The text is in a parameter that a receiver who does not know it skips."""
    parameter = struct.pack("!HH", 0x8001, 4 + len(text)) + text + bytes(-len(text) % 4)
    chunk = struct.pack("!BBHIIHHI", chunk_type, 0, 24 + len(text), 1, 0x10000, 1, 1, 1) + parameter
    ends = struct.pack("!HHI", *ports, tag)
    return ends + struct.pack("<I", crc32c(ends + bytes(4) + chunk)) + chunk


class Udp:
    def __init__(self, family, port=0):
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4 has one of its own
        self.socket.bind(("", port))

    def ask(self, address, port):
        self.socket.connect((address, port))
        self.socket.send(b"who is there?")

    def receive(self):
        """Whom to answer, and the text."""
        text, sender = self.socket.recvfrom(2048)
        return sender, text

    def answer(self, sender, text):
        self.socket.sendto(text, sender)


class Sctp:
    def __init__(self, family, port=OWN_PORT):
        self.socket = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_SCTP)
        self.port, self.expected = port, INIT

    def ask(self, address, port):
        self.expected = INIT_ACK
        self.socket.connect((address, 0))
        self.socket.send(sctp_packet((self.port, port), 0, INIT, b"who is there?"))

    def receive(self):
        packet, sender = self.socket.recvfrom(2048)
        if self.socket.family == socket.AF_INET:
            packet = packet[(packet[0] & 15) * 4:]
        source, destination, _, checksum = struct.unpack("!HHI", packet[:8]) + struct.unpack("<I", packet[8:12])
        if destination != self.port or packet[12] != self.expected:
            return None, b""
        if checksum != crc32c(packet[:8] + bytes(4) + packet[12:]):
            sys.exit(f"the checksum from {sender[0]}, port {source}, is wrong")
        size, = struct.unpack("!H", packet[34:36])
        return (sender[0], source), packet[36:32 + size]

    def answer(self, sender, text):
        self.socket.sendto(sctp_packet((self.port, sender[1]), 1, INIT_ACK, text), (sender[0], 0))


PROTOCOLS = {"udp": Udp, "sctp": Sctp}


def read_port(text):
    protocol, _, port = text.partition(":")
    return PROTOCOLS[protocol], int(port)


def answer(name, *ports):
    services = {}
    for text in ports:
        protocol, port = read_port(text)
        for family in socket.AF_INET, socket.AF_INET6:
            service = protocol(family, port)
            services[service.socket] = service, text
    print("ready", flush=True)
    while True:
        for ready in select.select(services, [], [])[0]:
            service, text = services[ready]
            sender, _ = service.receive()
            if sender:
                service.answer(sender, f"{name}'s {text}, asked by {sender[0]}".encode())


def ask(address, *ports):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for text in ports:
        protocol, port = read_port(text)
        client = protocol(family)
        client.socket.settimeout(PATIENCE)
        client.ask(address, port)
        sender = None
        while not sender:
            sender, said = client.receive()
        print(said.decode())


def main():
    verb, *arguments = sys.argv[1:]
    try:
        {"answer": answer, "ask": ask}[verb](*arguments)
    except OSError as error:
        sys.exit(f"{verb} {' '.join(arguments)}: {error}")


main()
