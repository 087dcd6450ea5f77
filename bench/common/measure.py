"""What all benches share: which core does what, CPU time of an arm, the load generator, rounds that take turns, medians with
intervals, and the head of a section of docs/benchmarks.md."""

import argparse
import json
import os
import platform
import random
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("COLONY_BENCH_BUILD", ROOT / "build/release"))
COLONY, LOADGEN = BUILD / "colony", BUILD / "loadgen"
# Layout -> the core of the load, of what clients talk to, of what answers behind it.
LAYOUTS = {"one": (1, 1, 1), "share": (0, 1, 1), "split": (0, 1, 0)}


def wake_up_us(cores, rounds=500):
    """Microseconds of CPU that a process on the first core is charged for a byte to one that sleeps on the second, and one back.
    The part of a request alone that no arm can save: on virtual cores it swings, so every section says what it was."""
    there, back = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.sched_setaffinity(0, {cores[1]})
        os.close(there[1])
        while byte := os.read(there[0], 1):
            os.write(back[1], byte)
        os._exit(0)
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cores[0]})
    begin = time.process_time()
    for _ in range(rounds):
        os.write(there[1], b"x")
        os.read(back[0], 1)
    used = time.process_time() - begin
    os.sched_setaffinity(0, mine)
    for fd in (*there, *back):
        os.close(fd)
    os.waitpid(child, 0)
    return used / rounds * 1e6


def descendants(pid):
    """The process and all that descends from it."""
    out, children = [pid], {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()
                children.setdefault(int(fields[1]), []).append(int(entry))
            except OSError:
                pass
    for p in out:
        out += children.get(p, [])
    return out


def cpu_us(pids):
    """Microseconds that the scheduler has charged to all threads of these processes."""
    total = 0
    for pid in pids:
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                total += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
        except OSError:
            pass
    return total / 1000


def memory_kib(pids, key="Pss"):
    """KiB of memory of these processes; Pss: what they share is counted once."""
    total = 0
    for pid in pids:
        try:
            total += int(re.search(rf"^{key}:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1])
        except (OSError, TypeError):
            pass
    return total


def loadgen_command(address, kinds, core=None, **flags):
    command = (["taskset", "-c", str(core)] if core is not None else []) + [str(LOADGEN), address]
    for flag, value in flags.items():
        command += ["--" + flag.replace("_", "-"), f"{value:g}" if isinstance(value, float) else str(value)]
    return command + list(kinds)


def load(arm, kinds, layout="share", **flags):
    """One run of the load generator against an arm: its report, with `cpu`, microseconds per answered request of all
    processes of the arm. `hop`: the same of the process that clients talk to alone."""
    command = arm.prefix + loadgen_command(arm.address, kinds, LAYOUTS[layout][0], protocol=arm.protocol, **flags)
    pids, front = arm.pids(), arm.front_pids()
    before, front_before = cpu_us(pids), cpu_us(front)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    used, front_used = cpu_us(pids) - before, cpu_us(front) - front_before
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stderr}")
    report = json.loads(done.stdout)
    answered = max(report["good"], 1)
    return {
        **report,
        "cpu": used / answered,
        "hop": front_used / answered,
        "cpu_us": used,
        "p50": report["latency_us"]["p50"],
        "p99": report["latency_us"]["p99"],
    }


def interval(values):
    """95 % interval of the median by resampling."""
    rng = random.Random(1)
    medians = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(1000))
    return medians[25], medians[-26]


def ratio(ours, theirs):
    """Median of the ratios of the rounds with its interval: '0.52 (0.50-0.55)'."""
    ratios = [a / b for a, b in zip(ours, theirs) if b > 0]
    if not ratios:
        return "-"
    low, high = interval(ratios)
    digits = 2 if low >= 0.1 else 4
    return f"{statistics.median(ratios):.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def in_turn(arms, number):
    """The arms in the order of this round: each begins once."""
    arms = list(arms)
    return arms[number % len(arms) :] + arms[: number % len(arms)]


def table(head, rows):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(row) + " |" for row in rows)])


def cpu_table(results, against, cell_names):
    """results: {(cell..., arm): [report of each round]}; ratios against each arm of `against` in the same cell."""
    head = [*cell_names, "arm", "CPU us/request", "95 %", "of it the hop", *(f"x {b}" for b in against), "requests/s", "p99 us", "failed"]
    rows = []
    for (*cell, arm), rounds in results.items():
        cpu = [r["cpu"] for r in rounds]
        low, high = interval(cpu)
        rows.append(
            [
                *map(str, cell),
                arm,
                f"{statistics.median(cpu):.1f}",
                f"{low:.1f}-{high:.1f}",
                f"{statistics.median(r['hop'] for r in rounds):.1f}",
                *(
                    "1" if b == arm else ratio(cpu, [r["cpu"] for r in results.get((*cell, b), [])])
                    for b in against
                ),
                f"{statistics.median(r['rate'] for r in rounds):,.0f}",
                f"{statistics.median(r['p99'] for r in rounds):,.0f}",
                str(sum(r["failed"] for r in rounds)),
            ]
        )
    return table(head, rows)


def print_head(title, note=""):
    """Date, commit, machine, load and command: what figures are worth nothing without."""
    commit = subprocess.run(
        ["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    name = Path(sys.argv[0]).stem
    load_core, arm_core, _ = LAYOUTS["share"]
    same, other = wake_up_us((load_core, load_core)), wake_up_us((load_core, arm_core))
    command = " ".join(["./dev bench", name, *sys.argv[1:]])
    print(
        f"## {title}\n\n{time.strftime('%Y-%m-%d', time.gmtime())}, commit {commit}, {os.cpu_count()} cores"
        f" ({cpu[1] if cpu else platform.machine()}), Linux {platform.release()}, load average at the start"
        f" {os.getloadavg()[0]:.1f}; a byte to a sleeping process and one back takes {same:.0f} us of CPU from each on one core,"
        f" {other:.0f} us across two: `{command}`. {note}\n"
    )


def flags(description, rounds=4, seconds=1.0, **more):
    """The flags of every bench. --quick shows that it works; its figures mean nothing."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--seconds", type=float, default=seconds, help="of one run")
    parser.add_argument("--quick", action="store_true", help="one short round: does it work?")
    for name, default in more.items():
        parser.add_argument("--" + name.replace("_", "-"), default=default, help=f"default: {default}")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds = 1, min(args.seconds, 0.3)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the arms are stopped
    if (os.cpu_count() or 1) < 2:
        raise SystemExit("this bench needs two cores: one for the load, one for the arm")
    return args


def say(text):
    print(text, file=sys.stderr, flush=True)
