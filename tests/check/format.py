#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""format.py ROOT [CLANG_FORMAT]: C and C++ look as the .clang-format of their folder says."""
import re
import subprocess
import sys

from tree import checked_tree


def main():
    tree = checked_tree()
    clang_format = sys.argv[2] if len(sys.argv) > 2 else "clang-format-19"
    sources = tree.select(".c", ".h", ".cpp", ".hpp")
    if sources:
        said = subprocess.run([clang_format, "--dry-run", "-Werror", "--style=file", "--fallback-style=none", *sources],
                              cwd=tree.root, capture_output=True, text=True, check=False)
        places = re.findall(r"^(\S+?):(\d+):\d+: error:", said.stderr, re.MULTILINE)
        for name, line in sorted(set(places), key=lambda place: (place[0], int(place[1]))):
            tree.complain(name, line, f"is formatted otherwise: {clang_format} -i {name}")
        if said.returncode != 0 and not places:
            tree.complain(".clang-format", 1, f"{clang_format} says: {said.stderr.strip()}")
    return tree.verdict(sources)


sys.exit(main())
