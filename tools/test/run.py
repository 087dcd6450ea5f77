#!/usr/bin/env python3
"""./dev test: everything that must pass, in one run, with a table of what it cost.

Usage: run.py [FILTER] [--quick] [--preset release|tsan]
  no argument   checks, the release binary, the test build (ASan + UBSan), every test of every language under ctest, then
                under ThreadSanitizer those that start threads
  FILTER        only the tests whose ctest name matches; unit.base:Suite.case* narrows further inside one binary
  --quick       the checks, the unit tests of the rooms that changed, and one real request to the demo
  --preset      the same tests otherwise built: release (as people run it), tsan (those that start threads)

Each run has an id, a folder for everything temporary and a session of its own; what it leaves behind fails it. Under
CI=true a missing tool, a skipped test or a test binary without a case fails as well.
"""
import argparse
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree

import leftovers

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUDGET_MIN = {"setup": (8, 0.5), "checks": (4, 1), "release": (10, 1), "test build": (18, 2), "tests": (15, 10),
              "threads": (7, 2.5)}
BOLD, RED, PLAIN = ("\033[1m", "\033[31m", "\033[0m") if sys.stdout.isatty() else ("", "", "")


def build_folder(preset):
    return os.path.join(ROOT, "build", preset)


class Run:
    """One run: its stages with their minutes, what failed, and the folder that everything temporary goes to."""

    def __init__(self, preset):
        self.id = time.strftime("%H%M%S-") + secrets.token_hex(3)
        self.preset = preset
        self.build = build_folder(preset)
        self.folder = os.path.join("/tmp", "colony-" + self.id)  # short: socket paths have room for 107 bytes
        os.makedirs(os.path.join(self.folder, "tmp"))
        self.environment = dict(os.environ, COLONY_TEST_RUN=self.id, TMPDIR=os.path.join(self.folder, "tmp"))
        self.watch = leftovers.Watch(self.id, self.folder)
        self.stages = []
        self.failed = []
        self.summary = []
        self.ranked = []
        if "COLONY_SETUP_SECONDS" in os.environ:
            self.stages.append(("setup", float(os.environ["COLONY_SETUP_SECONDS"])))

    def stage(self, name, *steps):
        """Runs the steps of a stage in order, all of them; a step is (what it is, command) or (what, function)."""
        print(f"{BOLD}== {name}{PLAIN}", flush=True)
        begin = time.monotonic()
        good = True
        for what, step in steps:
            okay = step() if callable(step) else self.command(step)
            if not okay:
                self.failed.append(what)
                print(f"{RED}failed: {what}{PLAIN}", flush=True)
                good = False
        self.stages.append((name, time.monotonic() - begin))
        return good

    def command(self, arguments, environment=None):
        return subprocess.call(arguments, cwd=ROOT, env={**self.environment, **(environment or {})}) == 0

    def ctest(self, arguments, environment=None, preset=None):
        """ctest in a session of its own; its summary is kept for the end of the output."""
        preset = preset or self.preset
        report = os.path.join(self.folder, f"ctest-{preset}.xml")
        command = ["ctest", "--test-dir", build_folder(preset), "-j2", "--output-on-failure", "--no-tests=error",
                   "--output-junit", report, *arguments]
        child = subprocess.Popen(command, cwd=ROOT, env={**self.environment, **(environment or {})}, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        said = []
        try:
            for line in child.stdout:
                print(line, end="", flush=True)
                if said or "tests passed" in line or "No tests were found" in line:
                    said.append(line.rstrip("\n"))
            code = child.wait()
        except KeyboardInterrupt:
            os.killpg(child.pid, signal.SIGTERM)
            raise
        self.summary += said
        missing = [line for line in said if "(Not Run)" in line or "(Disabled)" in line]
        self.read_slowest(report, "" if preset == self.preset else f" ({preset})")
        return code == 0 and not (missing and os.environ.get("CI") == "true")

    def read_slowest(self, report, where):
        try:
            cases = xml.etree.ElementTree.parse(report).getroot().iter("testcase")
        except (OSError, xml.etree.ElementTree.ParseError):
            return
        self.ranked += [(float(case.get("time", 0)), case.get("name") + where) for case in cases]

    def look_for_leftovers(self):
        lines = self.watch.left(alone=os.environ.get("CI") == "true")
        for line in lines:
            print(f"left behind: {line}")
        return not lines

    def finish(self):
        if self.ranked:
            print(f"\n{'seconds':>8}  slowest tests")
            for seconds, name in sorted(self.ranked, reverse=True)[:10]:
                print(f"{seconds:8.1f}  {name}")
        print(f"\n{'minutes':>8}  stage        budget cold / warm")
        for name, seconds in self.stages:
            cold, warm = BUDGET_MIN.get(name, ("-", "-"))
            print(f"{seconds / 60:8.1f}  {name:<12} {cold} / {warm}")
        print(f"{sum(seconds for _, seconds in self.stages) / 60:8.1f}  in all\n")
        for line in self.summary:
            print(line)
        if self.failed:
            print(f"{RED}FAILED{PLAIN}: {', '.join(self.failed)}")
            print(f"what the run wrote is kept in {self.folder}")
            return 1
        shutil.rmtree(self.folder, ignore_errors=True)
        print("everything passed")
        return 0


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split("\n")


def changed_files():
    """What differs from main: the branch's commits and the working tree; on main itself, the last commit."""
    base = (git("merge-base", "HEAD", "origin/main") or [""])[0]
    head = git("rev-parse", "HEAD")[0]
    if not base or base == head:
        base = git("rev-parse", "--verify", "-q", "HEAD~1")[0] or head
    files = git("diff", "--name-only", base) + git("ls-files", "--others", "--exclude-standard")
    return sorted({name for name in files if name})


def rooms():
    """Folder under src/ -> name of the room, as CMakeLists.txt lists them."""
    with open(os.path.join(ROOT, "CMakeLists.txt"), encoding="utf-8") as file:
        return {folder: name for name, folder in re.findall(r"^colony_room\((\S+) (\S+)", file.read(), re.MULTILINE)}


def changed_rooms():
    names = set()
    table = rooms()
    for path in changed_files():
        if not path.startswith("src/"):
            continue
        for folder, name in table.items():
            if path.startswith(f"src/{folder}/"):
                names.add(name)
    return sorted(names)


def configure_and_build(run, preset, targets=()):
    arguments = ["./dev", "build", preset, *targets]
    return run.command(arguments)


def checks(run, tidy):
    steps = [("format", ["./dev", "fmt", "--check"]), ("include rules", ["tools/lint/includes.py"]),
             ("words", ["tools/lint/words.py"])]
    if tidy:
        steps.append(("clang-tidy", ["tools/lint/tidy.py"]))
    return run.stage("checks", *steps)


def threads(run, preset="tsan"):
    """The tests that start threads, under ThreadSanitizer; the others never leave one."""
    steps = [("tsan build", lambda: configure_and_build(run, preset, ["test_threads"])),
             ("tests under tsan", lambda: run.ctest(["-L", "threads"], preset=preset)),
             ("nothing left behind", run.look_for_leftovers)]
    run.stage("threads", *steps)


def everything(run):
    run.stage("release", ("release build", lambda: configure_and_build(run, "release")),
              ("compile times", ["tools/build/times.py", "release", "--noted"]))
    tests = run.stage("test build", ("test build", lambda: configure_and_build(run, run.preset)))
    checks(run, tidy=tests)
    if not tests or "release build" in run.failed:
        return
    binary = os.path.join(ROOT, "build", "release", "colony")
    environment = {"COLONY_E2E_BINARY": binary} if os.path.exists(binary) else {}
    run.stage("tests", ("tests", lambda: run.ctest([], environment)), ("nothing left behind", run.look_for_leftovers))
    threads(run)


def quick(run):
    checks(run, tidy=False)
    names = changed_rooms()
    print("rooms that changed: " + (", ".join(names) or "none"))
    if not run.stage("release", ("release build", lambda: configure_and_build(run, "release"))):
        return
    run.command(["cmake", "--preset", run.preset, "-Wno-dev", "--log-level=ERROR"])
    with open(os.path.join(run.build, "build.ninja"), encoding="utf-8") as file:
        known = set(re.findall(r"^build (test_\w+): phony", file.read(), re.MULTILINE))
    targets = [f"test_{name}" for name in names if f"test_{name}" in known]
    pattern = "^(lint\\..*" + "".join(f"|unit\\.{target[5:]}" for target in targets) + ")$"
    if targets and not run.stage("test build", ("test build", lambda: configure_and_build(run, run.preset, targets))):
        return
    run.stage("tests", ("tests", lambda: run.ctest(["-R", pattern])), ("demo", ["./dev", "demo", "--check"]),
              ("nothing left behind", run.look_for_leftovers))


def some(run, pattern):
    name, _, cases = pattern.partition(":")
    if not run.stage("test build", ("test build", lambda: configure_and_build(run, run.preset))):
        return
    environment = {"GTEST_FILTER": cases} if cases else {}
    run.stage("tests", ("tests", lambda: run.ctest(["-R", name], environment)),
              ("nothing left behind", run.look_for_leftovers))


def otherwise_built(run):
    """The tests of another preset."""
    if run.preset == "tsan":
        return threads(run)
    if run.stage("test build", ("test build", lambda: configure_and_build(run, run.preset))):
        run.stage("tests", ("tests", lambda: run.ctest([])), ("nothing left behind", run.look_for_leftovers))


def main():
    parser = argparse.ArgumentParser(prog="./dev test", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("filter", nargs="?", help="ctest names to run (regular expression), optionally :gtest-filter")
    parser.add_argument("--quick", action="store_true", help="changed rooms and the demo check")
    parser.add_argument("--preset", choices=["asan", "release", "tsan"], default="asan")
    options = parser.parse_args()
    run = Run("release-test" if options.preset == "release" else options.preset)
    try:
        if options.filter:
            some(run, options.filter)
        elif options.quick:
            quick(run)
        elif options.preset != "asan":
            otherwise_built(run)
        else:
            everything(run)
    except KeyboardInterrupt:
        run.failed.append("interrupted")
        leftovers.end_processes(leftovers.processes(run.id))
    return run.finish()


if __name__ == "__main__":
    sys.exit(main())
