#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""image.py FILE NAME [COMMAND...]: an OCI image (image-layout, as a tar) of Debian's busybox-static.

Always the same bytes: every time in it is 0. containerd takes the name from one annotation, podman from another.
"""
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile

BUSYBOX = "/bin/busybox"
MEDIA = "application/vnd.oci.image."
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class Archive:
    """A tar in memory."""

    def __init__(self):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode="w", format=tarfile.PAX_FORMAT)

    def directory(self, name, mode=0o755):
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode = tarfile.DIRTYPE, mode
        self.tar.addfile(entry)

    def hard_link(self, name, target):
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname, entry.mode = tarfile.LNKTYPE, target, 0o755
        self.tar.addfile(entry)

    def file(self, name, content, mode=0o644):
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content), mode
        self.tar.addfile(entry, io.BytesIO(content))

    def content(self):
        self.tar.close()
        return self.buffer.getvalue()


class Blobs(dict):
    """Contents by their digest."""

    def add(self, media_type, content):
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self[digest] = content
        return {"mediaType": MEDIA + media_type, "digest": digest, "size": len(content)}

    def add_json(self, media_type, document):
        return self.add(media_type, json.dumps(document).encode())


def root_filesystem():
    layer = Archive()
    for name in ("bin", "dev", "etc", "proc", "root", "run", "sys", "usr", "usr/bin", "var"):
        layer.directory(name)
    layer.directory("tmp", 0o1777)
    with open(BUSYBOX, "rb") as busybox:
        layer.file("bin/busybox", busybox.read(), 0o755)
    for applet in subprocess.check_output([BUSYBOX, "--list"], text=True).split():
        if applet != "busybox":
            layer.hard_link("bin/" + applet, "bin/busybox")
    layer.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
    layer.file("etc/group", b"root:x:0:\n")
    return layer.content()


def image(name, command):
    root = root_filesystem()
    blobs = Blobs()
    target = {"architecture": ARCHITECTURES[os.uname().machine], "os": "linux"}
    layer = blobs.add("layer.v1.tar", root)
    config = blobs.add_json("config.v1+json", target | {
        "created": "1970-01-01T00:00:00Z",
        "config": {"Env": ["PATH=/bin:/usr/bin"], "Cmd": command},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(root).hexdigest()]},
    })
    manifest = blobs.add_json("manifest.v1+json", {
        "schemaVersion": 2, "mediaType": MEDIA + "manifest.v1+json", "config": config, "layers": [layer]})
    manifest |= {"platform": target, "annotations": {
        "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}}

    layout = Archive()
    layout.file("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
    layout.file("index.json", json.dumps({"schemaVersion": 2, "manifests": [manifest]}).encode())
    layout.directory("blobs")
    layout.directory("blobs/sha256")
    for digest, content in blobs.items():
        layout.file("blobs/sha256/" + digest.removeprefix("sha256:"), content)
    return layout.content()


def main():
    path, name, *command = sys.argv[1:]
    with open(path, "wb") as out:
        out.write(image(name, command or ["/bin/sh"]))


main()
