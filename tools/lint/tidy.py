#!/usr/bin/env python3
"""clang-tidy over what changed, or over everything; a verdict is kept by the hash of all that it depends on.

Usage: tidy.py [--all] [FILES...]. "Changed" is what differs from main (on main: from the commit before). The key of a
verdict is clang-tidy's version, .clang-tidy, the compile command and the content of the file and of every header of ours
that it reaches, so that a fresh clone with the same content asks nothing twice.
"""
import concurrent.futures
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "colony", "tidy")
BUILD = os.path.join(ROOT, "build", "asan")
TIDY = "clang-tidy-19"
INCLUDE = re.compile(rb'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)

sys.path.insert(0, os.path.join(ROOT, "tools", "test"))
from run import changed_files  # noqa: E402  (one definition of "changed")


def content(path, known={}):  # pylint: disable=dangerous-default-value
    if path not in known:
        try:
            with open(path, "rb") as file:
                known[path] = file.read()
        except OSError:
            known[path] = b""
    return known[path]


def reached(path):
    """The file and every header of ours that it includes, directly or not."""
    seen, waiting = set(), [path]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        for name in INCLUDE.findall(content(current)):
            for base in (os.path.join(ROOT, "src"), os.path.join(ROOT, "include"), ROOT, os.path.join(BUILD, "gen"),
                         os.path.dirname(current)):
                candidate = os.path.join(base, name.decode())
                if os.path.exists(candidate):
                    waiting.append(candidate)
                    break
    return seen


def flags_of(entry):
    """The compile command without paths of this clone and without what clang-tidy has no use for."""
    words = shlex.split(entry["command"])
    return [word.replace(ROOT, "") for word in words[1:] if not word.startswith("-fsanitize")]


def key_of(entry, files, common):
    digest = hashlib.sha256(common)
    digest.update(json.dumps(flags_of(entry)).encode())
    for path in sorted(files):
        digest.update(os.path.relpath(path, ROOT).encode() + b"\0" + hashlib.sha256(content(path)).digest())
    return digest.hexdigest()


def tidy(entry):
    result = subprocess.run([TIDY, "--quiet", "-p", BUILD, entry["file"]], cwd=ROOT, capture_output=True, text=True,
                            check=False)
    return result.returncode == 0, result.stdout.strip() or result.stderr.strip()


def choose(entries, arguments):
    """The translation units to look at: all, those named, or those that changed with one for each changed header."""
    if arguments == ["--all"]:
        return entries
    wanted = [os.path.join(ROOT, path) for path in (arguments or changed_files())]
    by_file = {entry["file"]: entry for entry in entries}
    chosen = [by_file[path] for path in wanted if path in by_file]
    covered = set().union(*(reached(entry["file"]) for entry in chosen)) if chosen else set()
    for header in (path for path in wanted if path.endswith(".h") and path not in covered):
        users = [entry for entry in entries if header in reached(entry["file"])]
        own = [entry for entry in users if entry["file"][:-3] == header[:-2]]
        if users:
            chosen.append((own or users)[0])
            covered |= reached(chosen[-1]["file"])
    return chosen


def main():
    os.makedirs(CACHE, exist_ok=True)
    with open(os.path.join(BUILD, "compile_commands.json"), encoding="utf-8") as file:
        entries = [entry for entry in json.load(file) if not entry["file"].startswith(BUILD)]
    version = subprocess.run([TIDY, "--version"], capture_output=True, check=True).stdout
    common = version + content(os.path.join(ROOT, ".clang-tidy"))
    asked = choose(entries, sys.argv[1:])
    todo = []
    for entry in asked:
        key = key_of(entry, reached(entry["file"]), common)
        if not os.path.exists(os.path.join(CACHE, key)):
            todo.append((entry, key))
    print(f"clang-tidy: {len(asked)} units asked, {len(asked) - len(todo)} known to be clean", flush=True)
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        running = {pool.submit(tidy, entry): (entry, key) for entry, key in todo}
        for number, done in enumerate(concurrent.futures.as_completed(running), 1):
            entry, key = running[done]
            clean, output = done.result()
            print(f"[{number}/{len(todo)}] {os.path.relpath(entry['file'], ROOT)}", flush=True)
            if clean:
                with open(os.path.join(CACHE, key), "w", encoding="utf-8"):
                    pass
            else:
                bad += 1
                print(output, flush=True)
    if bad:
        print(f"clang-tidy: {bad} of {len(todo)} units have findings")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
