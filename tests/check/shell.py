#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""shell.py ROOT: each shell script parses, is strict, and can be run if it is meant to be."""
import os
import re
import subprocess
import sys

from tree import SHELL, checked_tree

# Either it says so itself, or it begins by sourcing a file beside it that does.
STRICT = re.compile(r'^set -E?euo pipefail$|^\. "\$\(dirname "\$0"\)/\w+\.sh"', re.MULTILINE)


def main():
    tree = checked_tree()
    scripts = tree.scripts(SHELL)
    for name in scripts:
        text = tree.text(name)
        parsed = subprocess.run(["bash", "-n", name], cwd=tree.root, capture_output=True, text=True, check=False)
        for line, reason in re.findall(r"^.*?: line (\d+): (.*)$", parsed.stderr, re.MULTILINE):
            tree.complain(name, line, reason)
        if not text.startswith("#!"):
            continue  # sourced: what sources it is strict
        if not os.access(tree.root / name, os.X_OK):
            tree.complain(name, 1, "has a #! line but is not executable: chmod +x")
        if not STRICT.search(text):
            tree.complain(name, 1, "is not strict: neither says 'set -euo pipefail' nor sources a file that does")
    return tree.verdict(scripts)


sys.exit(main())
