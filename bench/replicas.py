#!/usr/bin/env python3
"""What a request costs with 1, 4, 16 and 64 local replicas behind one proxy: batches shrink as links multiply.

    ./dev bench replicas [--rounds 5] [--seconds 1] [--replicas 1,4,16,64] [--connections 64] [--workloads raw,oip] [--quick]

All of them run at the same time on the arm's core, the load on the other; they take turns within every round. Prints a section for
docs/benchmarks.md."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # this folder holds modules that are not the library's

import tempfile

from bench.common import arms
from bench.common.measure import cpu_table, flags, in_turn, load, print_head, say

WORKLOADS = {"raw": "raw,path=/echo,bytes=256", "oip": "oip,model=echo"}


def main():
    args = flags(__doc__, rounds=5, replicas="1,4,16,64", connections="64", workloads="raw,oip")
    print_head("Replicas", f"{args.connections} connections, layout `share`; {args.rounds} rounds of {args.seconds:g} s, interleaved.")
    counts = [int(n) for n in args.replicas.split(",")]
    with tempfile.TemporaryDirectory(prefix="colony-bench-") as folder:
        make = lambda f, n: arms.Colony(f"{n} replicas", f, replicas=n, args=["--cpus", "256"], whole=True)
        running = arms.start_all(folder, [lambda f, n=n: make(f, n) for n in counts])
        try:
            results = {}
            for number in range(args.rounds):
                for workload in args.workloads.split(","):
                    for connections in args.connections.split(","):
                        for arm in running:
                            results.setdefault((workload, connections, arm.name), [])
                        for arm in in_turn(running, number):
                            one = load(arm, [WORKLOADS[workload]], seconds=args.seconds, connections=connections)
                            results[workload, connections, arm.name].append(one)
                say(f"round {number + 1} of {args.rounds}")
            print(cpu_table(results, [running[0].name], ["workload", "connections"]))
        finally:
            arms.stop_all(running)


if __name__ == "__main__":
    main()
