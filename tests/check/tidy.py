#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tidy.py ROOT BUILD [CLANG_TIDY]: clang-tidy over what BUILD's compile database has of userspace/ and cni/.

Each folder is examined as one source, all of its files one behind the other: most of the time goes to headers, and so
goes once. BUILD/tidy/ remembers what was clean: a folder is examined again when a file of it, a header, a rule or a
compile line changes.
"""
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import dropwhile
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
INCLUDED = re.compile(r'^#include "(/\S+)"', re.MULTILINE)
FINDING = re.compile(r"^(/\S+?):(\d+):\d+: (?:error|warning): (.*)$", re.MULTILINE)


class Tidy:
    def __init__(self, tree, build, program):
        self.tree, self.build, self.program = tree, build, program
        self.commands = {}
        for entry in json.loads((build / "compile_commands.json").read_text()):
            source = Path(entry["directory"], entry["file"])
            for path in INCLUDED.findall(source.read_text()) if source.parent.name == "Unity" else [source]:
                self.commands[os.path.relpath(path, tree.root)] = entry["command"]
        self.clean = build / "tidy"
        self.clean.mkdir(exist_ok=True)
        self.same_for_all = [subprocess.check_output([program, "--version"]), Path(__file__).read_bytes()]
        shared = [tree.root / name for name in tree.select(".h", ".hpp", ".clang-tidy")]
        for path in shared + sorted(build.glob("*/*.skel.h")):
            self.same_for_all.append(path.read_bytes())

    def compiles(self, name):
        return name in self.commands

    def flags(self, name):
        """Of its compile line: without the compiler and what starts it, the source, and the object."""
        words = dropwhile(lambda word: not word.startswith("-"), shlex.split(self.commands[name]))
        for word in words:
            if word in ("-o", "-c"):
                next(words)
            else:
                yield word

    def key(self, names):
        parts = list(self.same_for_all)
        for name in names:
            parts += [name.encode(), self.commands[name].encode(), (self.tree.root / name).read_bytes()]
        return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()

    def examine(self, names):
        """Findings as (path, line, reason)."""
        remembered = self.clean / self.key(names)
        if remembered.exists():
            return []
        together = self.clean / (os.path.dirname(names[0]).replace("/", "_") + ".cpp")
        origin = [(name, line, text) for name in names
                  for line, text in enumerate((self.tree.root / name).read_text().splitlines(), 1)]
        together.write_text("".join(text + "\n" for _, _, text in origin))
        flags = dict.fromkeys(flag for name in names for flag in self.flags(name))
        said = subprocess.run([self.program, "--quiet", f"--config-file={self.tree.root / '.clang-tidy'}", together, "--",
                               *flags, *EXTRA], cwd=self.build, capture_output=True, text=True, check=False)
        places = FINDING.findall(said.stdout)
        ours = [(*origin[int(line) - 1][:2], reason) if path == str(together)
                else (os.path.relpath(path, self.tree.root), int(line), reason) for path, line, reason in places]
        ours = [finding for finding in ours if finding[0] in self.tree.files]
        if not ours and said.returncode != 0:  # also of what is in no file of ours
            return [(names[0], 1, f"{self.program} failed: {(said.stdout + said.stderr).strip()[-500:]}")]
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
    folders = {}
    for name in compiled:
        folders.setdefault(os.path.dirname(name), []).append(name)
    together = sorted(folders.values(), key=len, reverse=True)  # the longest first
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        findings = {finding for found in pool.map(tidy.examine, together) for finding in found}
    for finding in sorted(findings, key=lambda finding: finding[:2]):
        tree.complain(*finding)
    return tree.verdict(sources)


sys.exit(main())
