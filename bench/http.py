#!/usr/bin/env python3
"""CPU per request of one HTTP/1.1 hop: Colony (proxy + echo replica) against nginx and HAProxy before an equally fast origin on a
unix socket, Colony before that same origin (arm `backend`), and against uvicorn + FastAPI; then the p99 of all at the same fixed rate. Arms take turns within every round.

    ./dev bench http [--rounds 4] [--seconds 1] [--connections 1,16,64] [--layouts one,share,split]
                     [--workloads raw,oip] [--arms colony,backend,nginx,haproxy,fastapi] [--quick]

CPU is what the scheduler charged to all processes of the arm per answered request; the load is not counted. Layouts: `one`,
everything on one core, the load too; `share`, the load on one core, all of the arm on another; `split`, the hop alone on one core,
what answers behind it beside the load. FastAPI is its own hop: in `share` only. Prints a section for docs/benchmarks.md."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # this folder holds an http.py, which is not the library's

import statistics
import tempfile

from bench.common import arms as arm_kinds
from bench.common.measure import cpu_table, flags, in_turn, load, print_head, ratio, say, table

WORKLOADS = {"raw": "raw,path=/echo,bytes=256", "oip": "oip,model=echo"}
MAKERS = {
    "colony": lambda folder, layout: arm_kinds.Colony("colony", folder, layout),
    "backend": arm_kinds.backend,
    "nginx": arm_kinds.nginx,
    "haproxy": arm_kinds.haproxy,
    "fastapi": arm_kinds.fastapi,
}
PEERS = ("haproxy", "nginx")
OPEN_CONNECTIONS = 16


def open_loop(running, workloads, layout, args):
    """The p99 of every arm at half of what the slowest of them can do, latency counted from when each request was due. A moment in
    which the machine stands still is the p99 of whoever runs then: the ratios are those of the same round, and rounds are many."""
    rows = []
    peers = [p for p in PEERS if any(a.name == p for a in running)]
    for workload in workloads:
        kinds = [WORKLOADS[workload]]
        capacity = {a.name: load(a, kinds, layout, seconds=args.seconds, connections=OPEN_CONNECTIONS)["rate"] for a in running}
        rate = min(capacity.values()) / 2
        seen = {a.name: [] for a in running}
        for number in range(3 * args.rounds):
            for arm in in_turn(running, number):
                seen[arm.name].append(
                    load(arm, kinds, layout, seconds=args.seconds, connections=OPEN_CONNECTIONS, rate=round(rate))
                )
        for name, rounds in seen.items():
            middle = lambda key, rs=rounds: f"{statistics.median(r['latency_us'][key] for r in rs):,.0f}"
            p99s = {peer: [r["p99"] for r in seen[peer]] for peer in peers}
            rows.append(
                [workload, f"{rate:,.0f}", name, middle("p50"), middle("p99"),
                 *("1" if peer == name else ratio([r["p99"] for r in rounds], p99s[peer]) for peer in peers),
                 middle("p99.9"), f"{capacity[name]:,.0f}", str(sum(r["failed"] for r in rounds))]
            )
    return table(["workload", "requests/s", "arm", "p50 us", "p99 us", *(f"p99 x {p}" for p in peers), "p99.9 us", "capacity", "failed"], rows)


def main():
    args = flags(
        __doc__, connections="1,16,64", layouts="one,share,split", workloads="raw,oip", arms="colony,backend,nginx,haproxy,fastapi"
    )
    connections = [int(c) for c in args.connections.split(",")]
    workloads = args.workloads.split(",")
    print_head("HTTP hop", f"{args.rounds} rounds of {args.seconds:g} s, interleaved; medians, ratios per round.")
    for layout in args.layouts.split(","):
        names = [n for n in args.arms.split(",") if n != "fastapi" or layout == "share"]
        with tempfile.TemporaryDirectory(prefix="colony-bench-") as folder:
            running = arm_kinds.start_all(folder, [lambda f, n=n: MAKERS[n](f, layout) for n in names])
            try:
                results = {(w, c, a.name): [] for w in workloads for c in connections for a in running}
                for arm in running:
                    load(arm, [WORKLOADS["raw"]], layout, seconds=0.2, connections=16)
                for number in range(args.rounds):
                    for workload in workloads:
                        for count in connections:
                            for arm in in_turn(running, number):
                                one = load(arm, [WORKLOADS[workload]], layout, seconds=args.seconds, connections=count)
                                results[workload, count, arm.name].append(one)
                    say(f"{layout}: round {number + 1} of {args.rounds}")
                print(f"### Layout `{layout}`\n")
                against = [n for n in PEERS if n in names]
                print(cpu_table(results, against, ["workload", "connections"]) + "\n")
                if layout != "one":
                    print(f"Open loop, {OPEN_CONNECTIONS} connections, at half of the slowest arm's capacity:\n")
                    hops = [a for a in running if a.name != "fastapi"]
                    print(open_loop(hops, workloads, layout, args) + "\n", flush=True)
            finally:
                arm_kinds.stop_all(running)


if __name__ == "__main__":
    main()
