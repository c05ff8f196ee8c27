#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""licences.py ROOT: each source file says its licence in its first three lines, and it is its folder's."""
import re
import sys

from tree import checked_tree

SOURCES = (".c", ".h", ".cpp", ".hpp", ".py", ".sh", ".go", ".cmake", "CMakeLists.txt", ".clang-format", ".clang-tidy")

# The first prefix that fits. Folders that the kernel's loader or a BPF program reads are free for both worlds.
LICENCES = [
    ("bpf/CMakeLists.txt", "Apache-2.0"),
    ("bpf/.clang-format", "Apache-2.0"),
    ("bench/bare.bpf.c", "GPL-2.0-only OR BSD-2-Clause"),
    ("bpf/", "GPL-2.0-only OR BSD-2-Clause"),
    ("include/.clang-format", "Apache-2.0"),
    ("include/", "Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause"),
    ("", "Apache-2.0"),
]


def main():
    tree = checked_tree()
    sources = [name for name in tree.files if name.endswith(SOURCES) or tree.language_of_script(name)]
    for name in sources:
        wanted = next(licence for prefix, licence in LICENCES if name.startswith(prefix))
        opening = "\n".join(tree.text(name).splitlines()[:3])
        found = re.search(r"SPDX-License-Identifier: (.*?)\s*(?:\*/)?$", opening, re.MULTILINE)
        if not found:
            tree.complain(name, 1, f"has no line 'SPDX-License-Identifier: {wanted}' among its first three")
        elif found.group(1) != wanted:
            tree.complain(name, opening[:found.start()].count("\n") + 1,
                          f"is under '{found.group(1)}', but its folder is under '{wanted}'")
    return tree.verdict(sources)


sys.exit(main())
