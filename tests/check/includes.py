#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""includes.py ROOT: arrows point one way. Which file may include which is what the tables here say."""
import os
import re
import sys

from tree import checked_tree, line_of, without_comments

# A file may include only from its own layer down. Both the header and the source of a name are in its layer.
LAYERS = {
    "userspace": {
        "error": 0, "address": 0, "failures": 0, "fixed_text": 0, "protocol": 0, "rollback": 0,
        "unique_fd": 1, "netns": 1, "netlink": 1, "netlink_batch": 1, "netlink_message": 1, "netlink_removal": 1, "sysctl": 1, "bpf_map": 1, "attach": 1, "libbpf_log": 1,
        "datapath": 2,
        "pool": 3, "quota": 3, "network": 3, "network_conflict": 3, "network_record": 3, "network_spec": 3, "uplink": 3, "attachment": 3, "slot": 3, "undo": 3, "host_ports": 3, "assignment": 3,
        "sandbox": 3, "connecting": 3, "preparation": 3, "given_device": 3, "ends": 3, "identity": 3, "disconnect": 3, "inspect": 3, "orphan": 3, "collection": 3, "publication": 3, "bandwidth": 3, "readiness": 3, "verify": 3,
    },
    "cni": {
        "request": 0, "shown": 0, "json_value": 0, "known_keys": 0, "ipam_conf": 0, "nat_conf": 0, "port_conf": 0, "quota_conf": 0,
        "route_conf": 0,
        "bandwidth_conf": 0,
        "runtime_conf": 0, "net_conf": 0, "reply": 0,
        "stray": 1, "ipam": 1,
        "plugin": 2,
        "main": 3,
    },
}

# Folders of the tree that files of a folder may include from. The longest folder that fits a file counts, on both
# sides: userspace/ does not mean userspace/ctl/.
FOLDERS = {
    "include": ["include"],
    "bpf": ["bpf", "include"],
    "userspace": ["userspace", "include"],
    "userspace/ctl": ["userspace/ctl", "userspace", "include"],
    "cni": ["cni", "userspace", "include"],
    "tests": ["tests", "bench", "cni", "userspace/ctl", "userspace", "bpf", "include"],
    "bench": ["bench", "tests", "cni", "userspace", "include"],
}

# What is not of this tree and may be included by few: header (or its folder) and who may. Elsewhere: anyone.
FOREIGN = {
    "libmnl/": ["userspace/netlink"],
    "datapath.skel.h": ["userspace/datapath.cpp", "tests/datapath/"],  # tests of packets load it without pins
    "CLI/": ["userspace/ctl/", "bench/"],
    "gtest/": ["tests/", "bench/"],
    "gmock/": ["tests/", "bench/"],
}

# The only quoted names that are no file of the tree: made by the build.
GENERATED = {"datapath.skel.h", "bare.skel.h"}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^">]+)[">]', re.MULTILINE)


def folder_of(name):
    """The longest folder of FOLDERS that the file is in, or None."""
    folder = os.path.dirname(name)
    while folder and folder not in FOLDERS:
        folder = os.path.dirname(folder)
    return folder or None


def stem_of(name):
    return os.path.basename(name).partition(".")[0]


def layer_of(name):
    """(folder, layer); layer is None where the folder has layers and the file is in none of them."""
    folder = folder_of(name)
    return folder, LAYERS[folder].get(stem_of(name)) if folder in LAYERS else 0


def resolve(files, name, quote, wanted):
    """The file of the tree that an include means, or None."""
    if quote == "<":
        places = ["include/" + wanted] if wanted.startswith("causeway/") else []
    else:
        places = [os.path.normpath(os.path.join(os.path.dirname(name), wanted)), wanted, "include/" + wanted]
    return next((place for place in places if place in files), None)


def complaint_about_own(name, target):
    folder, layer = layer_of(name)
    target_folder, target_layer = layer_of(target)
    if target_folder not in FOLDERS[folder]:
        return f"{folder}/ may not include {target}; it may include from {', '.join(FOLDERS[folder])}"
    if folder == target_folder and None not in (layer, target_layer) and target_layer > layer:
        return f"layer {layer} includes {target} of layer {target_layer}: a file may include only from its own layer down"
    return None


def complaint_about_foreign(name, quote, wanted):
    for header, owners in FOREIGN.items():
        if wanted.startswith(header) and not name.startswith(tuple(owners)):
            return f"{wanted} may be included only by {', '.join(owners)}"
    if quote == '"' and wanted not in GENERATED:
        return f'"{wanted}" is no file of this tree; what comes from elsewhere is included in <>'
    return None


def check_place(tree, name):
    """A file has a folder and a layer; what its header says of its layer is true. Is it in both?"""
    folder, layer = layer_of(name)
    if folder is None:
        tree.complain(name, 1, "is in no folder that tests/check/includes.py knows: say in FOLDERS what it may include")
        return False
    if layer is None:
        tree.complain(name, 1, f"'{stem_of(name)}' is in no layer of {folder}/: put it into LAYERS of tests/check/includes.py")
        return False
    opening = "\n".join(tree.text(name).splitlines()[:6])
    said = re.search(r"\bLayer (\d+)\b", opening)
    if said and folder in LAYERS and int(said.group(1)) != layer:
        tree.complain(name, line_of(opening, said.start()),
                      f"says that it is in layer {said.group(1)}; tests/check/includes.py says {layer}")
    return True


def find_circles(tree, graph):
    """Depth first; an include that leads back to a file on the way is a circle."""
    done, way = set(), []

    def visit(name):
        if name in done:
            return
        way.append(name)
        for line, target in graph.get(name, ()):
            if target in way:
                tree.complain(name, line, "is a circle: " + " -> ".join([*way[way.index(target):], target]))
            else:
                visit(target)
        way.pop()
        done.add(name)

    for name in sorted(graph):
        visit(name)


def main():
    tree = checked_tree()
    sources = tree.select(".c", ".h", ".cpp", ".hpp")
    files = set(tree.files)
    graph = {}
    for name in sources:
        if not check_place(tree, name):
            continue
        code = without_comments(tree.text(name))
        for match in INCLUDE.finditer(code):
            quote, wanted = match.groups()
            line = line_of(code, match.start())
            target = resolve(files, name, quote, wanted)
            if target:
                graph.setdefault(name, []).append((line, target))
                complaint = complaint_about_own(name, target) if folder_of(target) else None
            else:
                complaint = complaint_about_foreign(name, quote, wanted)
            if complaint:
                tree.complain(name, line, complaint)
    find_circles(tree, graph)
    return tree.verdict(sources)


sys.exit(main())
