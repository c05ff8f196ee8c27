#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""verdicts.py ROOT: each way a packet can end is given by a program and named in a test of packets."""
import re
import sys

from tree import checked_tree, line_of, without_comments

ABI = "include/causeway/abi.h"
NOT_AN_END = {"CONTINUE"}


def names_in(tree, *folders):
    found = set()
    for folder in folders:
        for name in tree.select(".c", ".h", ".cpp", ".hpp", under=folder):
            found |= set(re.findall(r"\bVERDICT_(\w+)", without_comments(tree.text(name), strings=False)))
    return found


def main():
    tree = checked_tree()
    abi = without_comments(tree.text(ABI)) if ABI in tree.files else ""
    table = re.search(r"#define CAUSEWAY_VERDICTS\(X\)(?:.*\\\n)*.*", abi)
    verdicts = list(re.finditer(r"\bX\((\w+), ", table.group(0))) if table else []
    if not verdicts:
        tree.complain(ABI, 1, "has no table CAUSEWAY_VERDICTS of X(NAME, text)")
    given, tested = names_in(tree, "bpf/"), names_in(tree, "tests/datapath/", "tests/system/")
    for match in verdicts:
        verdict = match.group(1)
        line = line_of(abi, table.start() + match.start())
        if verdict in NOT_AN_END:
            continue
        if verdict not in given:
            tree.complain(ABI, line, f"VERDICT_{verdict} is given by no program of bpf/")
        if verdict not in tested:
            tree.complain(ABI, line, f"VERDICT_{verdict} is named in no test of tests/datapath/ or tests/system/")
    return tree.verdict(verdicts)


sys.exit(main())
