#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bpf_functions.py ROOT: functions of bpf/ can be read at a glance, and programs are in the table of contents only.

A function's length counts from the line of its name to its closing brace.
"""
import re
import sys

from tree import checked_tree, line_of, without_comments

PROGRAMS = "bpf/datapath.bpf.c"
PROGRAM_LINES = 25
FUNCTION_LINES = 59  # under 60
PARAMETERS = 4

# Kernel style: the header begins in column 0, and so do the braces, alone on their lines.
FUNCTION = re.compile(r"^(?P<header>[A-Za-z_][^;{}#]*?\b(?P<name>\w+)\s*\((?P<parameters>[^;{}]*?)\))\s*\n\{\n(?P<body>.*?)^\}",
                      re.MULTILINE | re.DOTALL)


def count_parameters(text):
    text = text.strip()
    return 0 if text in ("", "void") else text.count(",") + 1


def main():
    tree = checked_tree()
    sources = tree.select(".c", ".h", under="bpf/")
    functions = 0
    for name in sources:
        code = without_comments(tree.text(name), strings=False)
        for match in FUNCTION.finditer(code):
            functions += 1
            first, last = line_of(code, match.start("name")), line_of(code, match.end())
            lines = last - first + 1
            is_program = "SEC(" in match.group("header")
            limit = PROGRAM_LINES if is_program else FUNCTION_LINES
            kind = "program" if is_program else "function"
            if lines > limit:
                tree.complain(name, first, f"{kind} {match.group('name')} has {lines} lines; {limit} at most")
            if count_parameters(match.group("parameters")) > PARAMETERS:
                tree.complain(name, first, f"{kind} {match.group('name')} has "
                                           f"{count_parameters(match.group('parameters'))} parameters; {PARAMETERS} at most")
            if is_program and name != PROGRAMS:
                tree.complain(name, first, f"program {match.group('name')}: programs are in {PROGRAMS} only")
    if sources and not functions:
        tree.complain(sources[0], 1, "no function of bpf/ was recognised: is it still kernel style?")
    return tree.verdict(sources)


sys.exit(main())
