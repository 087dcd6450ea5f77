#!/usr/bin/env python3
"""Is our load generator right? The same origin asked by bench/loadgen and by others: wrk (closed loop), h2load (closed loop and
--rps). Rates and latencies should agree; at a fixed rate ours may show more, because it counts from when a request was due.

    ./dev bench check [--rounds 3] [--seconds 2] [--rate 5000] [--quick]

The load on one core, the origin on the other. Prints a section for docs/benchmarks.md."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # this folder holds modules that are not the library's

import re
import statistics
import subprocess
import tempfile

from bench.common import arms
from bench.common.measure import LAYOUTS, flags, load, print_head, say, table

CONNECTIONS, STREAMS = 16, 8
US = {"us": 1, "ms": 1e3, "s": 1e6}


def run(command):
    pinned = ["taskset", "-c", str(LAYOUTS["share"][0]), *map(str, command)]
    return subprocess.run(pinned, capture_output=True, text=True, check=True).stdout


def wrk(arm, seconds, script):
    out = run(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", script, "--latency", f"http://{arm.address}/echo"])
    latency = {p: float(v) * US[u] for p, v, u in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)", out)}
    return int(re.search(r"(\d+) requests in", out)[1]) / seconds, latency["50"], latency["99"]


def h2load(arm, seconds, body, log, rate=None):
    """Duration mode and --rps do not go together in h2load 1.52: a fixed number of requests does."""
    command = ["h2load", f"-c{CONNECTIONS}", f"-m{STREAMS}", "-d", body, f"--log-file={log}", f"http://{arm.address}/echo"]
    command += [f"--rps={rate / CONNECTIONS:g}", f"-n{round(rate * seconds)}"] if rate else [f"-D{seconds:g}"]
    log.unlink(missing_ok=True)
    out = run(command)
    took = sorted(int(line.split("\t")[2]) for line in log.read_text().splitlines())
    return float(re.search(r"([\d.]+) req/s", out)[1]), took[len(took) // 2], took[len(took) * 99 // 100]


def ours(arm, seconds, **more):
    report = load(arm, ["raw"], seconds=seconds, connections=CONNECTIONS, **more)
    return report["rate"], report["p50"], report["p99"]


def main():
    args = flags(__doc__, rounds=3, seconds=2.0, rate="5000")
    args.seconds = max(1, round(args.seconds))  # wrk takes whole ones
    rate = int(args.rate)
    print_head("The load generator against others", f"{CONNECTIONS} connections, h2 with {STREAMS} streams each; 256 bytes.")
    with tempfile.TemporaryDirectory(prefix="colony-bench-") as folder:
        body, script, log = Path(folder) / "body", Path(folder) / "post.lua", Path(folder) / "log"
        body.write_text("x" * 256)
        script.write_text("wrk.method = 'POST'\nwrk.body = string.rep('x', 256)\n")
        h1, h2 = arms.start_all(
            folder, [arms.nginx, lambda f: arms.haproxy(f, origin="h2_origin", h2=True)]
        )
        runs = {
            ("h1, closed loop", "wrk"): lambda: wrk(h1, args.seconds, script),
            ("h1, closed loop", "loadgen"): lambda: ours(h1, args.seconds),
            (f"h1, {rate}/s", "loadgen"): lambda: ours(h1, args.seconds, rate=rate),
            ("h2, closed loop", "h2load"): lambda: h2load(h2, args.seconds, body, log),
            ("h2, closed loop", "loadgen"): lambda: ours(h2, args.seconds, streams=STREAMS),
            (f"h2, {rate}/s", "h2load --rps"): lambda: h2load(h2, args.seconds, body, log, rate),
            (f"h2, {rate}/s", "loadgen"): lambda: ours(h2, args.seconds, streams=STREAMS, rate=rate),
        }
        seen = {key: [] for key in runs}
        try:
            for number in range(args.rounds):
                for key, one in runs.items():
                    seen[key].append(one())
                say(f"round {number + 1} of {args.rounds}")
        finally:
            arms.stop_all([h1, h2])
    rows = [[*key, *(f"{statistics.median(column):,.0f}" for column in zip(*rounds))] for key, rounds in seen.items()]
    print(table(["load", "by", "requests/s", "p50 us", "p99 us"], rows))


if __name__ == "__main__":
    main()
