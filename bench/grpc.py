#!/usr/bin/env python3
"""CPU per request of one HTTP/2 hop, 32 streams on each connection: Colony (proxy + echo replica; arm `backend`: proxy + the peers'
own origin) against HAProxy h2 to h2, and
nginx by grpc_pass and by HTTP/1.1, each before an equally fast origin on a unix socket. Arms take turns within every round.

    ./dev bench grpc [--rounds 5] [--seconds 1] [--connections 1,8] [--layouts share,split] [--workloads raw,infer] [--quick]

Workloads: `raw`, a POST of 256 bytes that is echoed; `infer`, a gRPC ModelInfer of one number (decoded and answered by Colony's
replica; the peers' origin echoes the message, which is less work). nginx cannot carry gRPC to an HTTP/1.1 origin: raw only there.
Prints a section for docs/benchmarks.md."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # this folder holds modules that are not the library's

import tempfile

from bench.common import arms
from bench.common.measure import cpu_table, flags, in_turn, load, print_head, say

STREAMS = 32
WORKLOADS = {"raw": "raw,path=/echo,bytes=256", "infer": "grpc,model=echo"}
GRPC_PASS = "grpc_pass grpc://o;"
MAKERS = {
    "colony": lambda f, layout: arms.Colony("colony", f, layout, protocol="h2"),
    "backend": lambda f, layout: arms.backend(f, layout, origin="h2_origin", h2=True),
    "haproxy": lambda f, layout: arms.haproxy(f, layout, origin="h2_origin", h2=True),
    "nginx-grpc": lambda f, layout: arms.nginx(f, layout, "nginx-grpc", GRPC_PASS, origin="h2_origin", h2=True),
    "nginx-h1": lambda f, layout: arms.nginx(f, layout, "nginx-h1", h2=True),
}


def main():
    args = flags(
        __doc__, rounds=5, connections="1,8", layouts="share,split", workloads="raw,infer", arms=",".join(MAKERS)
    )
    workloads, names = args.workloads.split(","), args.arms.split(",")
    connections = [int(c) for c in args.connections.split(",")]
    print_head(
        "HTTP/2 and gRPC hop",
        f"{STREAMS} streams on each connection; {args.rounds} rounds of {args.seconds:g} s, interleaved; medians, ratios per round.",
    )
    for layout in args.layouts.split(","):
        with tempfile.TemporaryDirectory(prefix="colony-bench-") as folder:
            running = arms.start_all(folder, [lambda f, n=n: MAKERS[n](f, layout) for n in names])
            try:
                cells = [
                    (w, c, a) for w in workloads for c in connections for a in running if (w, a.name) != ("infer", "nginx-h1")
                ]
                results = {(w, c, a.name): [] for w, c, a in cells}
                for number in range(args.rounds):
                    for workload in workloads:
                        for count in connections:
                            for arm in in_turn(running, number):
                                if (workload, count, arm.name) not in results:
                                    continue
                                one = load(
                                    arm, [WORKLOADS[workload]], layout, seconds=args.seconds, connections=count, streams=STREAMS
                                )
                                results[workload, count, arm.name].append(one)
                    say(f"{layout}: round {number + 1} of {args.rounds}")
                print(f"### Layout `{layout}`\n")
                print(cpu_table(results, [n for n in ("haproxy", "nginx-grpc") if n in names], ["workload", "connections"]) + "\n", flush=True)
            finally:
                arms.stop_all(running)


if __name__ == "__main__":
    main()
