#!/usr/bin/env python3
"""Refuses words that a finished tree does not hold: marks of unfinished work, and names of places outside it.

Usage: words.py [ROOT]. Reads every text file that git knows (or would add) and prints the offending lines.
"""
import os
import re
import subprocess
import sys

WORDS = [
    (re.compile(r"\b(TODO|FIXME|XXX|HACK)\b"), "unfinished work is not marked, it is finished"),
    (re.compile(r"\.\./shared\b|(?<![\w./])/work/\w"), "a path of one machine"),
    (re.compile(r"\bissues? #?\d+\b", re.IGNORECASE), "the tree speaks of itself, not of a tracker"),
    (re.compile(r"\b(deb\.debian\.org|pypi\.org|files\.pythonhosted\.org)\b"), "the host of a registry: its client knows it"),
]
EXEMPT = {"tools/lint/words.py", "tools/lint/lint_test.py", "LICENSE"}


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    listing = subprocess.run(["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                             capture_output=True, check=True).stdout.decode()
    found = False
    for path in sorted(set(listing.split("\0")) - EXEMPT - {""}):
        try:
            with open(os.path.join(root, path), encoding="utf-8") as file:
                lines = file.readlines()
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue  # binary, deleted in the working tree, or a link to a folder
        for number, line in enumerate(lines, 1):
            for pattern, why in WORDS:
                match = pattern.search(line)
                if match:
                    print(f"{path}:{number}: '{match.group()}': {why}")
                    found = True
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
