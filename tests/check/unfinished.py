#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""unfinished.py ROOT: nothing is left for later in a remark, and no test is switched off."""
import re
import sys

from tree import checked_tree, line_of

# Each with a bracket, so that this file does not find itself.
REMARKS = re.compile(r"\b(?:TO[D]O|FIX[M]E|XX[X]|HA[C]K)\b")
SWITCHED_OFF = re.compile(r"\bDISABLE[D]_\w*|\bGTEST_SKI[P]\(\)\s*;")
PROSE_OF_OTHERS = ("LICENSES/",)


def main():
    tree = checked_tree()
    ours = [name for name in tree.files if not name.startswith(PROSE_OF_OTHERS)]
    for name in ours:
        text = tree.text(name)
        for match in REMARKS.finditer(text):
            tree.complain(name, line_of(text, match.start()), f"{match.group(0)}: finish it, or say it in an issue")
        if name.endswith((".cpp", ".hpp")):
            for match in SWITCHED_OFF.finditer(text):
                tree.complain(name, line_of(text, match.start()), f"{match.group(0)}: a test that is skipped says why")
    return tree.verdict(ours)


sys.exit(main())
