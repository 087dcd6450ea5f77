#!/usr/bin/env python3
"""Does one slow request, or one slow client, raise the p99 of the others? Open loop at a fixed rate, latency counted from when each
request was due; the disturbed runs and the undisturbed one take turns within every round, with the same rate of fast requests.

    ./dev bench tail [--rounds 5] [--seconds 3] [--rate 1500] [--connections 32] [--layouts share,split] [--quick]

`sleep`, `spin`: 1 % of the requests make the same replicas take 5 ms for them, asleep or on a core. `readers`: 200 clients
beside them asked for a mebibyte each and read one byte of it a second. What is shown is the p99 of the fast requests alone.
Prints a section for docs/benchmarks.md."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # this folder holds modules that are not the library's

import contextlib
import itertools
import os
import socket
import statistics
import tempfile
import threading
import time

from bench.common import arms
from bench.common.measure import LAYOUTS, flags, in_turn, load, print_head, ratio, say, table

READERS, BODY = 200, 1 << 20
APP = arms.APP.format(replicas=2) + "        user_config: {slow: {sleeps: {sleep_ms: 5}, spins: {spin_ms: 5}}}\n"
FAST = "oip,name=fast,weight=99"
RUNS = {
    "undisturbed": [FAST],
    "sleep": [FAST, "oip,name=slow,tensor=sleeps,weight=1"],
    "spin": [FAST, "oip,name=slow,tensor=spins,weight=1"],
    "readers": [FAST],
}


@contextlib.contextmanager
def slow_readers(address, core):
    """READERS clients that read one byte a second each, one after the other and on the load's core, for the length of the block."""
    host, port = address.rsplit(":", 1)
    body, held, stop = b"x" * BODY, [], threading.Event()
    head = b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % BODY
    for _ in range(READERS):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect((host, int(port)))
        s.setblocking(False)
        held.append([s, head + body])

    def send_more(entry):
        with contextlib.suppress(OSError):
            if entry[1]:
                entry[1] = entry[1][entry[0].send(entry[1]) :]

    def read():
        os.sched_setaffinity(0, {core})  # of this thread alone
        for entry in itertools.cycle(held):
            if stop.wait(1 / READERS):
                return
            send_more(entry)
            with contextlib.suppress(OSError):
                entry[0].recv(1)

    for entry in held:
        send_more(entry)
    thread = threading.Thread(target=read)
    thread.start()
    try:
        time.sleep(3)  # until the windows of all of them are full: from then on they cost what they cost
        yield
    finally:
        stop.set()
        thread.join()
        for s, _ in held:
            s.close()


def main():
    args = flags(__doc__, rounds=5, seconds=3.0, rate="1500", connections="32", layouts="share,split", runs=",".join(RUNS))
    print_head(
        "Tail", f"{args.rate} requests/s on {args.connections} connections, 2 replicas; {args.rounds} rounds of {args.seconds:g} s, interleaved."
    )
    names, rows = args.runs.split(","), []
    for layout in args.layouts.split(","):
        with tempfile.TemporaryDirectory(prefix="colony-bench-") as folder:
            make = lambda f: arms.Colony("colony", f, layout, app=APP, whole=True)
            (arm,) = arms.start_all(folder, [make])
            try:
                results = {name: [] for name in names}
                for number in range(args.rounds):
                    for name in in_turn(names, number):
                        with slow_readers(arm.address, LAYOUTS[layout][0]) if name == "readers" else contextlib.nullcontext():
                            one = load(
                                arm, RUNS[name], layout, seconds=args.seconds, connections=args.connections, rate=int(args.rate), warmup=args.seconds / 10
                            )  # fmt: skip
                        results[name].append(one)
                    say(f"{layout}: round {number + 1} of {args.rounds}")
            finally:
                arms.stop_all([arm])
        p99 = {n: [r["kinds"]["fast"]["latency_us"]["p99"] for r in rounds] for n, rounds in results.items()}
        for name, rounds in results.items():
            rows.append(
                [
                    layout, name,
                    f"{statistics.median(r['kinds']['fast']['latency_us']['p50'] for r in rounds):,.0f}",
                    f"{statistics.median(p99[name]):,.0f}",
                    "1" if name == "undisturbed" else ratio(p99[name], p99["undisturbed"]),
                    f"{statistics.median(r['kinds'].get('slow', {}).get('latency_us', {}).get('p50', 0) for r in rounds):,.0f}",
                    str(sum(r["failed"] for r in rounds)),
                ]
            )  # fmt: skip
    print(table(["layout", "run", "p50 us", "p99 us of the fast", "x undisturbed", "p50 us of the slow", "failed"], rows))


if __name__ == "__main__":
    main()
