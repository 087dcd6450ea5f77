#!/usr/bin/env python3
"""What one request costs the proxy, as counts: system calls, allocations, instructions. Counts repeat where times do not,
so this is also the gate that keeps the path as short as it is.

    ./dev bench path [--requests 10000] [--idle 3000] [--check] [--write] [--order]

One loop, an echo replica behind the framed link, 256 bytes of body. Shapes: `h1 1`, one HTTP/1.1 connection; `h1 64`, 64
connections with one request each in flight, written together while the proxy stands still, so that a loaded machine
changes nothing; `h2 32`, 32 streams of one HTTP/2 connection, written together. Each over both kinds of link: `ring`, shared
memory, and `socket`, what is left where memfd_create() is forbidden. System calls are counted by strace on the proxy's
loop, allocations, instructions and the cache lines of code that they touch (64 bytes each) by callgrind. Then the replica's half:
what its own loop takes for raw bytes and for inference of one number, as JSON and as gRPC; a client that speaks frames stands for
the proxy. Last, the anonymous memory that the proxy's process takes for each of
--idle keep-alive connections that have answered once and wait. --check compares with the bounds below and with
bench/path_counts.json (+10 %) and fails above them; --write makes that file anew, --order
cmake/request_path.order, by which the linker lays out the functions of a request."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # this folder holds a json.py, which is not the library's

import argparse
import json
import re
import resource
import signal
import socket
import subprocess
import tempfile
import time

from bench.common import function_order
from bench.common.callgrind import Callgrind
from bench.common.clients import PROXY_SHAPES, REPLICA_SHAPES, Http1, Http2, drive, each_shape
from bench.common.house import COLONY, PATIENCE, ROOT, House, Proxy, Replica

COUNTS = ROOT / "bench/path_counts.json"
LINKS = ("ring", "socket")
# Of the proxy's loop, or the replica's, per request.
BOUNDS = {
    "h1 1 ring": {"system calls": 5.5, "allocations": 0},
    "h1 64 ring": {"system calls": 2.4, "allocations": 0},
    "h2 32 ring": {"allocations": 0},
    "h1 1 socket": {"system calls": 6.5, "allocations": 0},
    "h1 64 socket": {"system calls": 2.4, "allocations": 0},
    "h2 32 socket": {"allocations": 0},
    "replica raw 1": {"allocations": 0},
    "replica raw 16": {"allocations": 0},
    "replica json 1": {"allocations": 3},
    "replica json 16": {"allocations": 3},
    "replica grpc 1": {"allocations": 2},
    "replica grpc 16": {"allocations": 2},
}
IDLE_BYTES = 1024  # of the proxy's own memory per idle connection
MORE = 1.10  # instructions against the committed ones
SLACK = 0.02  # allocations per request that may belong to what a loop does by the clock


def count_system_calls(house, folder, link, requests):
    proxy = Proxy(house, folder, link)

    def measure(shape):
        report = Path(folder) / shape.replace(" ", "-")
        command = ["strace", "-q", "-c", "-o", str(report), "-p", str(proxy.loop_thread())]
        strace = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + PATIENCE
        status = Path(f"/proc/{proxy.pid}/task/{proxy.loop_thread()}/status")
        while not re.search(r"TracerPid:\s+[1-9]", status.read_text()):
            if strace.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"strace does not attach: {strace.stderr.read()}")
            time.sleep(0.01)

        def found(done):
            strace.send_signal(signal.SIGINT)
            strace.communicate(timeout=PATIENCE)
            calls = {}
            for line in report.read_text().splitlines():
                fields = line.split()
                if len(fields) >= 5 and fields[3].isdigit() and fields[-1] != "total":
                    calls[fields[-1]] = int(fields[3])
            return {name: n / done for name, n in sorted(calls.items(), key=lambda c: -c[1])}

        return found

    try:
        return each_shape(PROXY_SHAPES, proxy, requests, measure)
    finally:
        proxy.stop()


def execute(folder, start, shapes, requests):
    """{shape: (requests, what they executed)}; start(prefix): the actor that is watched."""
    callgrind = Callgrind(folder)
    actor = start(callgrind.prefix)
    callgrind.pid = actor.pid

    def measure(_):
        callgrind.begin()
        return lambda done: (done, callgrind.end())

    try:
        return each_shape(shapes, actor, requests, measure)
    finally:
        actor.stop()


def hold_http1(proxy):
    held = socket.create_connection(proxy.address, PATIENCE)
    held.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n")
    if b" 200 " not in held.recv(4096):
        raise SystemExit("a connection was not answered")
    return held


def hold_http2(proxy):
    held = Http2(proxy, 1)
    held.round()
    return held


HOLD = {"HTTP/1.1": hold_http1, "HTTP/2": hold_http2}


def idle_bytes(house, folder, connections, hold):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, connections + 1000), hard))
    proxy = Proxy(house, folder, "ring")

    def memory():
        return 1024 * int(re.search(r"Anonymous:\s+(\d+)", Path(f"/proc/{proxy.pid}/smaps_rollup").read_text())[1])

    held = []
    try:
        warm = Http1(proxy, 64)
        drive(warm, 640)
        warm.close()
        before = memory()
        for _ in range(connections):
            held.append(hold(proxy))
        return (memory() - before) / connections
    finally:
        for client in held:
            client.close()
        proxy.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def named(found, name):
    return {name.format(shape): value for shape, value in found.items()}


def check(result, idle):
    committed = json.loads(COUNTS.read_text())
    problems = []
    for protocol, found in idle.items():
        if found > IDLE_BYTES:
            problems.append(f"an idle {protocol} connection takes {found:.0f} bytes, at most {IDLE_BYTES} are allowed")
    for shape, found in result.items():
        limits = dict(BOUNDS[shape], instructions=committed[shape]["instructions"] * MORE)
        for what, limit in limits.items():
            if found[what] > limit + (SLACK if what == "allocations" else 0):
                problems.append(f"{shape}: {found[what]:.2f} {what} per request, at most {limit:.2f} are allowed")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10000)
    parser.add_argument("--idle", type=int, default=3000)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--order", action="store_true")
    args = parser.parse_args()
    if not COLONY.exists():
        raise SystemExit(f"{COLONY} is missing: ./dev build release colony")
    calls, dumps = {}, {}
    with tempfile.TemporaryDirectory(prefix="colony-path-") as folder:
        house = House(folder)
        try:
            for link in LINKS:
                of_proxy = lambda prefix, link=link: Proxy(house, folder, link, prefix)
                calls |= named(count_system_calls(house, folder, link, args.requests), "{} " + link)
                dumps |= named(execute(folder, of_proxy, PROXY_SHAPES, args.requests), "{} " + link)
            of_replica = lambda prefix: Replica(house, folder, prefix)
            dumps |= named(execute(folder, of_replica, REPLICA_SHAPES, args.requests), "replica {}")
            idle = {protocol: idle_bytes(house, folder, args.idle, hold) for protocol, hold in HOLD.items()}
        finally:
            house.stop()
    result = {
        shape: {"instructions": d.instructions / done, "allocations": d.allocations / done, "lines": d.lines(done)}
        for shape, (done, d) in dumps.items()
    }
    print("| shape | system calls | allocations | instructions | lines of code | which calls |\n|---|---|---|---|---|---|")
    for shape, found in result.items():
        which = ", ".join(f"{n:.2f} {name}" for name, n in calls.get(shape, {}).items() if n >= 0.005)
        if shape in calls:
            found["system calls"] = sum(calls[shape].values())
        in_all = f"{found['system calls']:.2f}" if shape in calls else ""
        print(f"| {shape} | {in_all} | {found['allocations']:.2f} | {found['instructions']:,.0f} | {found['lines']} | {which} |")
    told = ", ".join(f"{found:,.0f} bytes over {protocol}" for protocol, found in idle.items())
    print(f"\nAn idle connection takes {told} ({args.idle:,} held).")
    if args.write:
        COUNTS.write_text(
            json.dumps({s: {"instructions": round(f["instructions"])} for s, f in result.items()}, indent=2) + "\n"
        )
    if args.order:
        function_order.write([d for shape, (_, d) in dumps.items() if not shape.endswith("socket")])
    problems = check(result, idle) if args.check else []
    print("\n".join(problems), file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
