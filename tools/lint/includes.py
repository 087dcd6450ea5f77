#!/usr/bin/env python3
"""Holds the include rules of the house: who may lean on whom, and where each third-party library lives.

Usage: includes.py [ROOT]. Prints every offending line as FILE:LINE: what is wrong, and exits 1 when there is one.
It reads #include lines only (no compiler), so it runs in a fraction of a second.
"""
import fnmatch
import os
import re
import sys

# Room (folder under src/) -> rooms that it may include. Its own folder is always allowed. Every other room is refused.
LAYERS = {
    "base": [],
    "domain": ["base"],
    "policy": ["base", "domain"],
    "async": ["base"],
    "observe": ["base", "async"],
    "transport": ["base", "async", "observe"],
    "store": ["base", "domain", "async", "observe"],
    "discovery": ["base", "domain", "async", "observe", "transport"],
    "engine": ["base", "domain", "policy", "async", "observe", "transport"],
    "request/runtime": ["base", "domain", "async", "observe", "transport"],
    "request/replica": ["base", "domain", "policy", "async", "observe", "transport", "request/runtime"],
    "request/proxy": ["base", "domain", "policy", "async", "observe", "transport", "discovery", "request/replica"],
    "request/client": ["base", "domain", "policy", "async", "observe", "transport", "discovery", "request/proxy"],
    "control/master": ["base", "domain", "policy", "async", "observe", "transport", "discovery", "engine"],
    "control/keeper": ["base", "domain", "policy", "async", "observe", "transport", "discovery", "engine", "store",
                       "control/master"],
    "control/cli": ["base", "domain", "async", "observe", "transport", "control/keeper"],
    "app": ["*"],
    "bin": ["base", "domain", "async", "observe", "control/cli", "app"],
}

# Library -> (how its headers begin, the files under src/ that are its home).
LIBRARIES = {
    "fmt": (["fmt/"], ["*"]),
    "nlohmann-json": (["nlohmann/"], [
        "base/json.*", "control/*.cc", "engine/*.cc", "store/*.cc", "discovery/*.cc", "domain/*.cc", "observe/*.cc",
        "app/*.cc", "request/*.cc"]),
    "yaml-cpp": (["yaml-cpp/"], ["domain/*.cc"]),
    "CLI11": (["CLI/"], ["control/cli/*.cc", "bin/*.cc"]),
    "nghttp2": (["nghttp2/"], [
        "transport/http/*_test.cc", "transport/http/hpack_nghttp2.h", "transport/backend/*.cc"]),
    "protobuf": (["google/protobuf/"], [
        "*wire*.cc", "transport/grpc/*.cc", "request/runtime/oip/*.cc", "request/proxy/*.cc"]),
    "simdjson": (["simdjson"], ["request/runtime/oip/*.cc"]),
    "spdlog": (["spdlog/"], ["observe/*.cc"]),
    "prometheus-cpp": (["prometheus/"], ["observe/*.cc"]),
    "sqlite3": (["sqlite3"], ["store/*.cc"]),
    "onnxruntime": (["onnxruntime", "core/session/onnxruntime"], ["request/runtime/onnx/*"]),
    "openssl": (["openssl/"], ["transport/tls/*"]),
    "zlib": (["zlib.h"], ["transport/compress/*.cc"]),
    "zstd": (["zstd.h"], ["transport/compress/*.cc"]),
    "googletest": (["gtest/", "gmock/"], ["*_test.cc", "*_test_support.*", "*/test_*.h", "*conformance*"]),
    "google-benchmark": (["benchmark/"], ["*_bench.cc"]),
}

COMPILERS_OWN = {"emmintrin.h"}  # in no system folder

# What reaches outside the program. policy/ decides and does nothing else: time and chance are its arguments.
STANDARD_IO = {"fstream", "iostream", "filesystem", "thread", "mutex", "condition_variable", "future", "cstdio", "random"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
GENERATED = re.compile(r"\.pb\.h$")


def room_of(path):
    """The room a path below src/ belongs to: the longest name in LAYERS that it begins with."""
    parts = path.split("/")
    for length in (2, 1):
        name = "/".join(parts[:length])
        if len(parts) > length and name in LAYERS:
            return name
    return None


def side_of(room):
    return room.split("/")[0] if room and room.startswith(("request/", "control/")) else None


def check_ours(path, room, target):
    """One #include "..." of a file in src/. Returns what is wrong with it, or None."""
    if GENERATED.search(target):
        if any(fnmatch.fnmatch(path, home) for home in LIBRARIES["protobuf"][1]):
            return None
        return "generated protobuf code is included from its home only: " + ", ".join(LIBRARIES["protobuf"][1])
    other = room_of(target)
    if other is None:
        if target.startswith("colony/"):
            return None  # include/colony: the installed headers
        if target.startswith("tests/support/") and path.endswith(("_test.cc", "_test_support.h", "_test_support.cc")):
            return None  # what tests share, in a test
        return f'"{target}" is no path from src/ (a third-party header takes <>)'
    if other == room:
        return None
    if {side_of(room), side_of(other)} == {"request", "control"}:
        return f"{side_of(room)}/ and {side_of(other)}/ never include each other"
    allowed = LAYERS[room]
    if "*" not in allowed and other not in allowed:
        return f"{room}/ may include {', '.join(allowed) or 'nothing but std'}; not {other}/"
    if side_of(room) and side_of(room) == side_of(other) and os.path.basename(target) != "contract.h":
        return f"of the next hop ({other}/) only its contract.h is included"
    return None


def check_outside(path, room, target):
    """One #include <...> of a file in src/. Returns what is wrong with it, or None."""
    for library, (prefixes, homes) in LIBRARIES.items():
        if any(target.startswith(prefix) for prefix in prefixes):
            if any(fnmatch.fnmatch(path, home) for home in homes):
                return None
            return f"{library} is included from its home only: {', '.join(homes)}"
    if GENERATED.search(target):
        return check_ours(path, room, target)
    standard = "/" not in target and not target.endswith(".h")
    if room == "policy" and (not standard or target in STANDARD_IO):
        return f"policy/ is pure: no I/O, no threads, no clock and no chance of its own, so not <{target}>"
    if not standard and target not in COMPILERS_OWN and not os.path.exists(os.path.join("/usr/include", target)) and not os.path.exists(
            os.path.join("/usr/include/x86_64-linux-gnu", target)):
        return f"<{target}> belongs to no library in the table of tools/lint/includes.py"
    return None


def check_file(root, path):
    """Yields (line number, line, problem) for one file below src/."""
    room = room_of(path)
    with open(os.path.join(root, "src", path), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            if room is None:
                yield number, line.strip(), f"src/{path} lies in no room; add its folder to tools/lint/includes.py"
                return
            quote, target = match.groups()
            problem = (check_ours if quote == '"' else check_outside)(path, room, target)
            if problem:
                yield number, line.strip(), problem


def check_tree(root):
    problems = []
    top = os.path.join(root, "src")
    for folder, folders, files in os.walk(top):
        folders.sort()
        for name in sorted(files):
            if name.endswith((".h", ".cc")):
                path = os.path.relpath(os.path.join(folder, name), top)
                problems += [f"src/{path}:{number}: {text}\n    {problem}" for number, text, problem in
                             check_file(root, path)]
    return problems


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    problems = check_tree(root)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
