#!/usr/bin/env python3
"""Refuses a relative link of a Markdown file that leads nowhere: to a missing file, or to a missing heading in one.

Usage: links.py [ROOT]. Prints FILE:LINE: TARGET for each.
"""
import os
import re
import subprocess
import sys

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^\s*(```|~~~)")


def headings(path):
    """Anchors as GitHub makes them of the headings of a Markdown file."""
    with open(path, encoding="utf-8") as file:
        titles = re.findall(r"^#+\s+(.*?)\s*$", file.read(), re.MULTILINE)
    return {re.sub(r"\s", "-", re.sub(r"[^\w\- ]", "", title.lower())) for title in titles}


def links(path):
    fenced = False
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if FENCE.match(line):
                fenced = not fenced
            elif not fenced:
                for target in LINK.findall(line):
                    yield number, target


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    listing = subprocess.run(["git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
                             capture_output=True, check=True, text=True).stdout
    bad = False
    for name in sorted(set(listing.split("\n")) - {""}):
        path = os.path.join(root, name)
        if not os.path.exists(path):
            continue
        for number, target in links(path):
            if re.match(r"[a-z]+:", target):
                continue
            where, _, anchor = target.partition("#")
            to = os.path.normpath(os.path.join(os.path.dirname(path), where)) if where else path
            if not os.path.exists(to) or (anchor and to.endswith(".md") and anchor not in headings(to)):
                print(f"{name}:{number}: {target} leads nowhere")
                bad = True
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
