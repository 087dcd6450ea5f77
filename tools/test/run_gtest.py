#!/usr/bin/env python3
"""Runs one GoogleTest binary and refuses what a green bar would hide.

Usage: run_gtest.py BINARY [ARGUMENTS...]. Exit 1 when the binary failed, when it ran no case at all, or, under CI=true,
when a case was skipped. Extra filtering comes from GTEST_FILTER in the environment, as usual.
"""
import json
import os
import subprocess
import sys
import tempfile

DEFAULTS = {
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1:abort_on_error=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "second_deadlock_stack=1",
    "LSAN_OPTIONS": "print_suppressions=0",
}


def main() -> int:
    binary, arguments = sys.argv[1], sys.argv[2:]
    environment = dict(os.environ)
    for name, value in DEFAULTS.items():
        environment.setdefault(name, value)
    environment.setdefault("COLONY_SOURCE_DIR", os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    environment.setdefault("COLONY_BINARY", environment.get("COLONY_BUILD_BINARY", ""))
    with tempfile.TemporaryDirectory(prefix="colony-gtest-") as folder:
        report = os.path.join(folder, "report.json")
        code = subprocess.call([binary, f"--gtest_output=json:{report}", *arguments], env=environment)
        if code != 0:
            return 1
        try:
            with open(report, encoding="utf-8") as file:
                suites = json.load(file)["testsuites"]
        except (OSError, ValueError, KeyError) as problem:
            print(f"{binary}: exited 0 without a test report ({problem})")
            return 1
    cases = [case for suite in suites for case in suite["testsuite"]]
    ran = [case for case in cases if case.get("status") == "RUN"]
    skipped = [case for case in ran if case.get("result") == "SKIPPED"]
    if not ran:
        print(f"{binary}: no test case ran")
        return 1
    if skipped and environment.get("CI") == "true":
        names = ", ".join(f"{case['classname']}.{case['name']}" for case in skipped)
        print(f"{binary}: skipped under CI: {names}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
