#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""keys.py ROOT: each key of a configuration that is read is known (cni/known_keys.cpp), and documented."""
import json
import re
import sys

from tree import checked_tree, line_of, without_comments

TABLE = "cni/known_keys.cpp"
DOCUMENT = "docs/configuration.md"
READERS = ["net", "nat", "ipam", "route", "quota", "bandwidth"]  # cni/<name>_conf.cpp; runtimeConfig's refuses others
WORD = re.compile(r'"([a-z]\w*)"')
NO_KEYS = {
    "causeway", "dhcp", "lo",  # values
    "interfaces", "containerID", "ifname",  # of prevResult, of GC's list
    "nameserver",  # of resolv.conf
}
OF_THE_LIST = {"cniVersions", "disableCheck", "disableGC"}  # a runtime's business


def names_in(shape):
    for key, inner in shape.items():
        yield key
        yield from names_in(inner or {})


def main():
    tree = checked_tree()
    text = tree.text(TABLE)
    capabilities = re.search(r"known_capabilities\{(.*?)\}", text, re.S).group(1)
    known = set(names_in(json.loads(re.search(r'R"\((.*?)\)"', text, re.S).group(1)))) | set(re.findall(r'"(.+?)"', capabilities))
    files = [f"cni/{name}_conf.cpp" for name in READERS]
    for file in files:
        source = without_comments(tree.text(file))
        for match in WORD.finditer(source):
            if match.group(1) not in known | NO_KEYS:
                tree.complain(file, line_of(source, match.start()),
                              f"{match.group(0)} is read, and {TABLE} does not know it; or name it in NO_KEYS")
    prose = re.sub(r"^ *```.*?^ *```", "", tree.text(DOCUMENT), flags=re.S | re.M)
    spoken = " ".join(re.findall(r"`([^`]+)`", prose))
    told = set(re.findall(r"[\w./-]+", spoken)) | set(re.findall(r"\w+", spoken))
    for key in sorted(known - told - OF_THE_LIST):
        tree.complain(TABLE, line_of(text, text.index(f'"{key}"')), f'"{key}" is known, and {DOCUMENT} does not tell of it')
    return tree.verdict(files)


sys.exit(main())
