#!/usr/bin/env python3
"""What an idle connection costs the memory of the hop: 15,000 connections (open files are limited to 20,000 a process where this
was written) of HTTP/1.1 or HTTP/2 that have been answered once and then wait. Kernel memory is not counted; it is the same for all.

    ./dev bench idle [--connections 15000] [--protocols h1,h2] [--arms colony,nginx,haproxy] [--quick]

Prints a section for docs/benchmarks.md."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # this folder holds an http.py, which is not the library's

import resource
import tempfile
import time
from types import SimpleNamespace

from bench.common import arms
from bench.common.clients import Http1, Http2
from bench.common.measure import flags, memory_kib, print_head, say, table

MAKERS = {
    "colony": lambda f, h2: arms.Colony("colony", f),
    "nginx": lambda f, h2: arms.nginx(f, h2=h2, connections=16000),
    "haproxy": lambda f, h2: arms.haproxy(f, h2=h2, origin="h2_origin" if h2 else "h1_origin", connections=16000),
}
CLIENTS = {"h1": lambda place: Http1(place, 1), "h2": lambda place: Http2(place, 1)}


def ask(client):
    """One request and its whole reply; False when there is none."""
    try:
        return client.round() == 1
    except (SystemExit, OSError):
        return False


def measure(arm, protocol, count):
    place = SimpleNamespace(address=("127.0.0.1", arm.port), stand_still=lambda: None, go_on=lambda: None)
    connect = lambda: CLIENTS[protocol](place)
    warm = [connect() for _ in range(100)]
    for client in warm:
        ask(client)
    for client in warm:
        client.close()
    time.sleep(0.5)
    before = memory_kib(arm.front_pids())
    held, answered = [], 0
    try:
        for _ in range(count):
            held.append(connect())
            answered += ask(held[-1])
        time.sleep(1)
        during = memory_kib(arm.front_pids())
        again = sum(ask(client) for client in held[:: max(1, count // 500)])
    finally:
        for client in held:
            client.close()
    time.sleep(1)
    return before, during, memory_kib(arm.front_pids()), answered, again


def main():
    args = flags(__doc__, connections="15000", protocols="h1,h2", arms=",".join(MAKERS))
    count = 1000 if args.quick else int(args.connections)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print_head("Idle connections", f"{count:,} connections.")
    rows = []
    for protocol in args.protocols.split(","):
        for name in args.arms.split(","):
            with tempfile.TemporaryDirectory(prefix="colony-bench-") as folder:
                (arm,) = arms.start_all(folder, [lambda f, n=name: MAKERS[n](f, protocol == "h2")])
                try:
                    before, during, after, answered, again = measure(arm, protocol, count)
                finally:
                    arms.stop_all([arm])
            each = (during - before) * 1024 / count
            rows.append([protocol, name, f"{answered:,}", f"{each:,.0f}", f"{before:,}", f"{during:,}", f"{after:,}", f"{again}"])
            say(f"{protocol}, {name}: done")
    head = ["protocol", "arm", "answered and held", "bytes each", "KiB before", "KiB with them", "KiB after they left"]
    print(table([*head, "asked again, answered"], rows))


if __name__ == "__main__":
    main()
