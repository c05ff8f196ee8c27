#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""shell.py ROOT: each shell script parses, is strict, and can be run if it is meant to be."""
import os
import re
import subprocess
import sys

from tree import SHELL, checked_tree

STRICT = re.compile(r"^set -E?e?uo? ?|^set -E?euo pipefail", re.MULTILINE)


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
        if not re.search(r"^set -\w*e\w*u\w*o pipefail$", text, re.MULTILINE) and not re.search(
                r'^\. "\$\(dirname "\$0"\)/\w+\.sh"', text, re.MULTILINE):
            tree.complain(name, 1, "is not strict: neither 'set -euo pipefail' nor a file that says it is sourced")
    return tree.verdict(scripts)


sys.exit(main())
