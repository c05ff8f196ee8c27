# SPDX-License-Identifier: Apache-2.0
"""The tree under check: its files, their code without comments, and what was found wrong with them."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

SHELL, PYTHON = "shell", "python"


class Tree:
    """Files are named by their path from the root, with slashes. Findings are printed as path:line: reason."""

    def __init__(self, root):
        self.root = Path(root).resolve()
        self.files = sorted(name for name in self._names() if (self.root / name).is_file())
        self.findings = 0

    def _names(self):
        """What git tracks, or would if it were added; of a tree without git all but what was built."""
        command = ["git", "-c", "safe.directory=*", "-C", self.root, "ls-files", "-z", "--cached", "--others",
                   "--exclude-standard"]
        if shutil.which("git") and (self.root / ".git").exists():
            listing = subprocess.check_output(command, text=True)
            return {name for name in listing.split("\0") if name}
        found = (path.relative_to(self.root).as_posix() for path in self.root.rglob("*"))
        return {name for name in found if not name.startswith((".git/", "build/"))}

    def select(self, *suffixes, under=""):
        return [name for name in self.files if name.endswith(suffixes) and name.startswith(under)]

    def text(self, name):
        return (self.root / name).read_text(encoding="utf-8", errors="replace")

    def language_of_script(self, name):
        """SHELL, PYTHON or None, by suffix, else by the first line."""
        if name.endswith(".sh"):
            return SHELL
        if name.endswith(".py"):
            return PYTHON
        if "." in os.path.basename(name):
            return None
        first = self.text(name).partition("\n")[0]
        if not first.startswith("#!"):
            return None
        return SHELL if first.endswith("sh") else PYTHON if "python" in first else None

    def scripts(self, language):
        return [name for name in self.files if self.language_of_script(name) == language]

    def complain(self, name, line, reason):
        self.findings += 1
        print(f"{name}:{line}: {reason}")

    def verdict(self, checked):
        """The exit status of a check. CHECKED is what was looked at; that it is nothing is a failure too."""
        what = Path(sys.argv[0]).stem
        if not checked:
            print(f"{what}: found nothing to check under {self.root}")
            return 1
        print(f"{what}: {self.findings} finding(s) in {len(checked)} file(s)")
        return 1 if self.findings else 0


COMMENT_OR_STRING = re.compile(
    r"""
    (?P<comment> //[^\n]* | /\*.*?\*/ )
  | (?P<raw> R"(?P<mark>[^()\\\s]{0,16})\(.*?\)(?P=mark)" )
  | (?P<string> "(?:\\.|[^"\\\n])*" )
  | (?P<digits> \b[0-9](?:'?[0-9a-zA-Z.])* )
  | (?P<character> '(?:\\.|[^'\\\n])+' )
    """, re.VERBOSE | re.DOTALL)


def without_comments(text, strings=True):
    """C, C++ or Go with each comment, and unless STRINGS each literal, made blank. Lines keep their numbers."""

    def blank(match):
        whole = match.group(0)
        if match.group("digits") is not None or (strings and match.group("comment") is None):
            return whole
        blanks = re.sub(r"[^\n]", " ", whole)
        return blanks if match.group("comment") is not None else '"' + blanks[1:-1] + '"'

    return COMMENT_OR_STRING.sub(blank, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def checked_tree():
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} ROOT")
    return Tree(sys.argv[1])
