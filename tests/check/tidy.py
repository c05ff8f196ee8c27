#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tidy.py ROOT BUILD [CLANG_TIDY]: clang-tidy over what BUILD's compile database has of userspace/ and cni/."""
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tree import checked_tree

FOLDERS = ("userspace/", "cni/")
EXTRA = [
    # What the database says is for g++.
    "-Wno-unknown-warning-option", "-Wno-ignored-optimization-argument", "-Wno-unused-command-line-argument",
    # The analyzer follows a function's paths, not those of all that it calls: a quarter of the time. Where TRY returns
    # from within an initialiser, it would destroy what is not yet made; so it is told of no implicit destructors.
    "-Xclang", "-analyzer-config", "-Xclang", "mode=shallow,cfg-implicit-dtors=false",
]


def main():
    tree = checked_tree()
    build = Path(sys.argv[2])
    clang_tidy = sys.argv[3] if len(sys.argv) > 3 else "clang-tidy-19"
    compiled = {os.path.relpath(os.path.join(entry["directory"], entry["file"]), tree.root)
                for entry in json.loads((build / "compile_commands.json").read_text())}
    sources = [name for name in tree.select(".cpp") if name.startswith(FOLDERS)]
    for name in sources:
        if name not in compiled:
            tree.complain(name, 1, "is in no target: the compile database does not have it")

    def examine(name):
        return subprocess.run(
            [clang_tidy, "--quiet", "-p", str(build), *("--extra-arg=" + option for option in EXTRA), name],
            cwd=tree.root, capture_output=True, text=True, check=False)

    ours, seen = set(tree.files), set()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        examined = [name for name in sources if name in compiled]
        examined.sort(key=lambda name: (tree.root / name).stat().st_size, reverse=True)  # the longest first
        for name, said in zip(examined, pool.map(examine, examined)):
            places = re.findall(r"^(/\S+?):(\d+):\d+: (?:error|warning): (.*)$", said.stdout, re.MULTILINE)
            for path, line, reason in places:
                finding = (os.path.relpath(path, tree.root), line, reason)
                if finding[0] in ours and finding not in seen:
                    seen.add(finding)
                    tree.complain(*finding)
            if said.returncode != 0 and not places:
                tree.complain(name, 1, f"{clang_tidy} failed: {(said.stderr or said.stdout).strip()[-500:]}")
    return tree.verdict(sources)


sys.exit(main())
