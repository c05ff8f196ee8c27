#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tidy.py ROOT BUILD [CLANG_TIDY]: clang-tidy over what BUILD's compile database has of userspace/ and cni/.

BUILD/tidy/ remembers what was clean: a file is examined again when it, a header, a rule or its compile line changes.
"""
import hashlib
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
FINDING = re.compile(r"^(/\S+?):(\d+):\d+: (?:error|warning): (.*)$", re.MULTILINE)


class Tidy:
    def __init__(self, tree, build, program):
        self.tree, self.build, self.program = tree, build, program
        self.commands = {os.path.relpath(os.path.join(entry["directory"], entry["file"]), tree.root): entry["command"]
                         for entry in json.loads((build / "compile_commands.json").read_text())}
        self.clean = build / "tidy"
        self.clean.mkdir(exist_ok=True)
        self.same_for_all = [subprocess.check_output([program, "--version"]), Path(__file__).read_bytes()]
        shared = [tree.root / name for name in tree.select(".h", ".hpp", ".clang-tidy")]
        for path in shared + sorted(build.glob("*/*.skel.h")):
            self.same_for_all.append(path.read_bytes())

    def compiles(self, name):
        return name in self.commands

    def key(self, name):
        parts = [*self.same_for_all, name.encode(), self.commands[name].encode(), (self.tree.root / name).read_bytes()]
        return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()

    def examine(self, name):
        """Findings as (path, line, reason)."""
        remembered = self.clean / self.key(name)
        if remembered.exists():
            return []
        said = subprocess.run(
            [self.program, "--quiet", "-p", str(self.build), *("--extra-arg=" + option for option in EXTRA), name],
            cwd=self.tree.root, capture_output=True, text=True, check=False)
        places = FINDING.findall(said.stdout)
        if said.returncode != 0 and not places:
            return [(name, 1, f"{self.program} failed: {(said.stderr or said.stdout).strip()[-500:]}")]
        ours = [(os.path.relpath(path, self.tree.root), line, reason) for path, line, reason in places]
        ours = [finding for finding in ours if finding[0] in self.tree.files]
        if not ours:
            remembered.touch()
        return ours


def main():
    tree = checked_tree()
    tidy = Tidy(tree, Path(sys.argv[2]).resolve(), sys.argv[3] if len(sys.argv) > 3 else "clang-tidy-19")
    sources = [name for name in tree.select(".cpp") if name.startswith(FOLDERS)]
    compiled = [name for name in sources if tidy.compiles(name)]
    for name in set(sources) - set(compiled):
        tree.complain(name, 1, "is in no target: the compile database does not have it")
    compiled.sort(key=lambda name: (tree.root / name).stat().st_size, reverse=True)  # the longest first
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        findings = {finding for found in pool.map(tidy.examine, compiled) for finding in found}
    for finding in sorted(findings, key=lambda finding: (finding[0], int(finding[1]))):
        tree.complain(*finding)
    return tree.verdict(sources)


sys.exit(main())
