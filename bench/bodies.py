#!/usr/bin/env python3
"""Bodies of 64 KiB, 1 MiB and 16 MiB, echoed: CPU per byte (both ways counted) of Colony against HAProxy before an origin on a
unix socket, all of them streaming, and what the hop's memory grows by per connection while they pass. nginx is not among them: it
reads no reply before it has sent the whole request, so an echo that streams stands still.

    ./dev bench bodies [--rounds 5] [--seconds 1] [--sizes 65536,1048576,16777216] [--connections 1,8] [--layouts share] [--quick]

Prints a section for docs/benchmarks.md."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # this folder holds modules that are not the library's

import statistics
import tempfile
import threading

from bench.common import arms
from bench.common.measure import flags, in_turn, interval, load, memory_kib, print_head, ratio, say, table

MAKERS = {
    "colony": lambda f, layout: arms.Colony("colony", f, layout),
    "haproxy": arms.haproxy,
}


class Peak(threading.Thread):
    """Highest memory of some processes (private pages: what they share with others is not a connection's) while it runs."""

    def __init__(self, pids):
        super().__init__(daemon=True)
        self.pids, self.base, self.peak, self.stopping = pids, memory_kib(pids), 0, threading.Event()

    def run(self):
        while not self.stopping.wait(0.02):
            self.peak = max(self.peak, memory_kib(self.pids))

    def grown_kib(self):
        self.stopping.set()
        self.join()
        return max(0, self.peak - self.base)


def main():
    args = flags(
        __doc__, rounds=5, sizes="65536,1048576,16777216", connections="1,8", layouts="share", arms=",".join(MAKERS)
    )
    sizes, counts = ([int(v) for v in text.split(",")] for text in (args.sizes, args.connections))
    names = args.arms.split(",")
    print_head("Bodies", f"{args.rounds} rounds of {args.seconds:g} s, interleaved; medians, ratios per round.")
    for layout in args.layouts.split(","):
        with tempfile.TemporaryDirectory(prefix="colony-bench-") as folder:
            running = arms.start_all(folder, [lambda f, n=n: MAKERS[n](f, layout) for n in names])
            try:
                results = {(s, c, a.name): [] for s in sizes for c in counts for a in running}
                for number in range(args.rounds):
                    for size in sizes:
                        for count in counts:
                            for arm in in_turn(running, number):
                                peak = Peak(arm.front_pids())
                                peak.start()
                                one = load(
                                    arm, [f"raw,bytes={size}"], layout, seconds=args.seconds, connections=count, timeout=30
                                )
                                moved = max(one["bytes_in"] + one["bytes_out"], 1)
                                one["kib"] = peak.grown_kib() / count
                                one["ns"] = one["cpu_us"] * 1000 / moved
                                one["mb"] = moved / one["seconds"] / 1e6
                                results[size, count, arm.name].append(one)
                    say(f"{layout}: round {number + 1} of {args.rounds}")
                rows = []
                for (size, count, name), rounds in results.items():
                    ns = [r["ns"] for r in rounds]
                    low, high = interval(ns)
                    rows.append(
                        [
                            f"{size >> 10} KiB", str(count), name, f"{statistics.median(ns):.3f}", f"{low:.3f}-{high:.3f}",
                            "1" if name == "haproxy" else ratio(ns, [r["ns"] for r in results.get((size, count, "haproxy"), [])]),
                            f"{statistics.median(r['mb'] for r in rounds):,.0f}",
                            f"{max(r['kib'] for r in rounds):,.0f}",
                            str(sum(r["failed"] for r in rounds)),
                        ]
                    )  # fmt: skip
                print(f"### Layout `{layout}`\n")
                print(
                    table(
                        ["body", "connections", "arm", "CPU ns/byte", "95 %", "x haproxy", "MB/s", "hop KiB/connection", "failed"],
                        rows,
                    )
                    + "\n"
                )
            finally:
                arms.stop_all(running)


if __name__ == "__main__":
    main()
