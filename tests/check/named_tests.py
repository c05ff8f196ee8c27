#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""named_tests.py ROOT: each test that docs/nat.md names is there: `Suite.Case`, `Suite.*`, or a beginning with `…`."""
import re
import sys
from fnmatch import fnmatchcase

from tree import checked_tree, line_of, without_comments

DOCUMENT = "docs/nat.md"
NAMED = re.compile(r"`([A-Z][\w*]*)(?:\.([\w*…]+))?`")
DEFINED = re.compile(r"\b(?:TEST|TEST_F|TEST_P|TYPED_TEST)\(\s*(\w+),\s*(\w+)\s*\)")


def tests_of(tree):
    """Of the files that are in a target."""
    found = set()
    for name in tree.select(".cpp", under="tests/"):
        folder, _, file = name.rpartition("/")
        if file not in re.findall(r"\w+\.cpp", tree.text(f"{folder}/CMakeLists.txt")):
            continue
        found |= set(DEFINED.findall(without_comments(tree.text(name), strings=False)))
    return found


def main():
    tree = checked_tree()
    text = tree.text(DOCUMENT) if DOCUMENT in tree.files else ""
    tests = tests_of(tree)
    suites = {suite for suite, _ in tests}
    named = [match for match in NAMED.finditer(text) if match.group(2) or match.group(1) in suites]
    if not named:
        tree.complain(DOCUMENT, 1, "names no tests")
    for match in named:
        suite, case = match.group(1), (match.group(2) or "*").replace("…", "*")
        if not any(fnmatchcase(one, suite) and fnmatchcase(other, case) for one, other in tests):
            tree.complain(DOCUMENT, line_of(text, match.start()), f"there is no test {match.group(0)}")
    return tree.verdict(named)


sys.exit(main())
