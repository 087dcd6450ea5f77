#!/usr/bin/env python3
"""What an idle connection costs the memory of the hop: 15,000 HTTP/1.1 connections (open files are limited to 20,000 a process
where this was written) that have been answered once and then wait. Kernel memory is not counted; it is the same for all.

    ./dev bench idle [--connections 15000] [--arms colony,nginx,haproxy] [--quick]

Prints a section for docs/benchmarks.md."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # this folder holds an http.py, which is not the library's

import resource
import socket
import tempfile
import time

from bench.common import arms
from bench.common.measure import flags, memory_kib, print_head, say, table

REQUEST = b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nping"
MAKERS = {
    "colony": lambda f: arms.Colony("colony", f),
    "nginx": lambda f: arms.nginx(f, connections=16000),
    "haproxy": lambda f: arms.haproxy(f, connections=16000),
}


def ask(s):
    """One request and its whole reply; False when there is none."""
    s.sendall(REQUEST)
    got = b""
    while not got.endswith(b"ping"):
        more = s.recv(4096)
        if not more:
            return False
        got += more
    return got.startswith(b"HTTP/1.1 200")


def measure(arm, count):
    warm = [socket.create_connection(("127.0.0.1", arm.port), timeout=10) for _ in range(100)]
    for s in warm:
        ask(s)
    for s in warm:
        s.close()
    time.sleep(0.5)
    before = memory_kib(arm.front_pids())
    held, answered = [], 0
    try:
        for _ in range(count):
            held.append(socket.create_connection(("127.0.0.1", arm.port), timeout=10))
            answered += ask(held[-1])
        time.sleep(1)
        during = memory_kib(arm.front_pids())
        again = sum(ask(s) for s in held[:: max(1, count // 500)])
    finally:
        for s in held:
            s.close()
    time.sleep(1)
    return before, during, memory_kib(arm.front_pids()), answered, again


def main():
    args = flags(__doc__, connections="15000", arms=",".join(MAKERS))
    count = 1000 if args.quick else int(args.connections)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print_head("Idle connections", f"{count:,} connections.")
    rows = []
    for name in args.arms.split(","):
        with tempfile.TemporaryDirectory(prefix="colony-bench-") as folder:
            (arm,) = arms.start_all(folder, [MAKERS[name]])
            try:
                before, during, after, answered, again = measure(arm, count)
            finally:
                arms.stop_all([arm])
        rows.append(
            [name, f"{answered:,}", f"{(during - before) * 1024 / count:,.0f}", f"{before:,}", f"{during:,}", f"{after:,}", f"{again}"]
        )
        say(f"{name}: done")
    print(
        table(
            ["arm", "answered and held", "bytes each", "KiB before", "KiB with them", "KiB after they left", "asked again, answered"],
            rows,
        )
    )


if __name__ == "__main__":
    main()
