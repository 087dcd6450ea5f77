#!/usr/bin/env python3
"""Prints the ten slowest translation units of a preset and fails when one is above the limit.

Usage: times.py PRESET [--noted]. Reads what tools/build/timed noted; units without a note (ccache knew them) are compiled
again, or left out with --noted. The limit is for a quiet machine: a busy or slow one also takes longer for
tools/build/reference.cc, and is allowed as much more.
"""
import json
import os
import resource
import statistics
import subprocess
import sys

LIMIT_S = 6.0
REFERENCE_S = 2.3  # user seconds of the reference on two quiet cores (AMD EPYC)
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def read_notes(build):
    notes = {}
    try:
        with open(os.path.join(build, "compile_times.tsv"), encoding="utf-8") as file:
            for line in file:
                seconds, unit = line.rstrip("\n").split("\t")
                notes[unit] = float(seconds)
    except FileNotFoundError:
        pass
    return notes


def compile_again(build, units, jobs):
    for unit in units:
        path = os.path.join(build, unit)
        if os.path.exists(path):
            os.remove(path)
    environment = dict(os.environ, CCACHE_RECACHE="1")
    subprocess.run(["ninja", "-C", build, f"-j{jobs}", *units], env=environment, check=True, stdout=subprocess.DEVNULL)


def slowness():
    """How many times as long as on a quiet machine the compiler takes now, at least 1; the median of three looks."""
    looks = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        subprocess.run(["clang++-19", "-std=c++23", "-O2", "-c", "tools/build/reference.cc", "-o", os.devnull], cwd=ROOT,
                       check=True)
        looks.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)
    return max(1.0, statistics.median(looks) / REFERENCE_S)


def main():
    build = os.path.join(ROOT, "build", sys.argv[1])
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        entries = json.load(file)
    sources = {}
    for entry in entries:
        words = entry["command"].split()
        unit = words[words.index("-o") + 1]
        if os.path.exists(os.path.join(build, unit)):
            sources[unit] = os.path.relpath(entry["file"], ROOT)
    notes = read_notes(build)
    missing = [unit for unit in sources if unit not in notes]
    if missing and "--noted" not in sys.argv:
        print(f"compiling {len(missing)} units again to time them", flush=True)
        compile_again(build, missing, os.cpu_count() or 2)
        notes = read_notes(build)
    ours = {unit: path for unit, path in sources.items() if not path.startswith("build/") and unit in notes}
    slow = [unit for unit in ours if notes.get(unit, 0) > LIMIT_S]
    if slow:  # a busy machine inflates user time: only what is slow twice is slow
        first = {unit: notes[unit] for unit in slow}
        compile_again(build, slow, 1)
        notes = read_notes(build)
        for unit in slow:
            notes[unit] = min(notes[unit], first[unit])
    ranked = sorted(ours, key=lambda unit: -notes.get(unit, 0))
    print(f"{'user s':>7}  slowest translation units of {sys.argv[1]}")
    for unit in ranked[:10]:
        print(f"{notes.get(unit, 0):7.2f}  {ours[unit]}")
    if ranked:
        print(f"{statistics.median(notes.get(unit, 0) for unit in ranked):7.2f}  median of {len(ranked)}")
    above = [unit for unit in ranked if notes.get(unit, 0) > LIMIT_S]
    if above:
        factor = slowness()
        print(f"{factor:7.2f}  times as slow as a quiet machine: the limit is {factor * LIMIT_S:.1f} s now")
        above = [unit for unit in above if notes[unit] > factor * LIMIT_S]
    for unit in above:
        print(f"above {LIMIT_S:.0f} s: {ours[unit]} ({notes[unit]:.2f} s)")
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
