#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""names.py ROOT: no name of ours is made of a word that says nothing. Names of others may be used, not made."""
import ast
import re
import sys

from tree import PYTHON, SHELL, checked_tree, line_of, without_comments

EMPTY_WORDS = {
    "util", "utils", "utility", "utilities", "helper", "helpers", "common", "manager", "managers", "handle", "handles",
    "handler", "handlers", "process", "processes", "do", "misc",
}

# Names that others made and that stand unqualified in our code.
FOREIGN = {
    "tcm_handle", "filter_handle",  # what tc tells a filter by
    "DoAll", "DoDefault",  # gmock
    "IP_PMTUDISC_DO",
}

WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# A name after a dot, an arrow or two colons was made elsewhere, and is checked there if it is ours.
IDENTIFIER = re.compile(r"(?<![\w.])(?<!->)(?<!::)[A-Za-z_]\w*")
KEYWORDS = {"do"}
INCLUDE = re.compile(r"^[ \t]*#[ \t]*include.*$", re.MULTILINE)
SHELL_NAME = re.compile(
    r"^[ \t]*(?:function[ \t]+)?([A-Za-z_][\w-]*)[ \t]*\(\)|(?:^|[ \t;])(?:local|declare|export|readonly|for|read)[ \t]+(?:-\w+[ \t]+)*"
    r"([A-Za-z_]\w*)|(?:^|[ \t;])([A-Za-z_]\w*)\+?=", re.MULTILINE)
CMAKE_NAME = re.compile(r"^[ \t]*(?:set|option|function|macro|foreach|add_library|add_executable|add_custom_target)"
                        r"[ \t]*\([ \t]*([\w-]+)", re.MULTILINE | re.IGNORECASE)


def empty_word(name):
    """The first such word of a name; "do not", in the sentence that a test's name is, is none."""
    if name in FOREIGN:
        return None
    words = [word.lower() for word in WORDS.findall(name)]
    for word, after in zip(words, [*words[1:], ""]):
        if word in EMPTY_WORDS and (word, after) != ("do", "not"):
            return word
    return None


def names_in_c(text):
    code = INCLUDE.sub(lambda match: " " * len(match.group(0)), without_comments(text, strings=False))
    for match in IDENTIFIER.finditer(code):
        if match.group(0) not in KEYWORDS:
            yield line_of(code, match.start()), match.group(0)


def names_in_python(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.lineno, node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg


def names_by(pattern):
    def names(text):
        for match in pattern.finditer(text):
            name = next(group for group in match.groups() if group)
            yield line_of(text, match.start(match.lastindex)), name
    return names


def reader_for(tree, name):
    if name.endswith((".c", ".h", ".cpp", ".hpp", ".go")):
        return names_in_c
    if name.endswith((".cmake", "CMakeLists.txt")):
        return names_by(CMAKE_NAME)
    return {PYTHON: names_in_python, SHELL: names_by(SHELL_NAME)}.get(tree.language_of_script(name))


def main():
    tree = checked_tree()
    for path in tree.files:
        if empty_word(path):
            tree.complain(path, 1, f"the path has the word '{empty_word(path)}', which says nothing: name what it is")
        reader = reader_for(tree, path)
        if not reader:
            continue
        first_places = {}
        for line, name in sorted(reader(tree.text(path))):
            first_places.setdefault(name, line)
        for name, line in first_places.items():
            if empty_word(name):
                tree.complain(path, line, f"the name '{name}' has the word '{empty_word(name)}', which says nothing")
    return tree.verdict(tree.files)


sys.exit(main())
