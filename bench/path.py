#!/usr/bin/env python3
"""What one request costs the proxy, as counts: system calls, allocations, instructions. Counts repeat where times do not,
so this is also the gate that keeps the path as short as it is.

    ./dev bench path [--requests 10000] [--idle 3000] [--check] [--write]

One loop, an echo replica behind the framed link, 256 bytes of body. Shapes: `h1 1`, one HTTP/1.1 connection; `h1 64`, 64
connections with one request each in flight, written together while the proxy stands still, so that a loaded machine
changes nothing; `h2 32`, 32 streams of one HTTP/2 connection, written together. Each over both kinds of link: `ring`, shared
memory, and `socket`, what is left where memfd_create() is forbidden. System calls are counted by strace on the proxy's
loop, allocations and instructions by callgrind. Then the replica's half (bench/path_replica.py): what its own loop takes for raw
bytes and for inference of one number, as JSON and as gRPC. Last, the anonymous memory that the proxy's process takes for each of
--idle keep-alive connections that have answered once and wait. --check compares with the bounds below and with
bench/path_counts.json (+10 %) and fails above them; --write makes that file anew."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # this folder holds a json.py, which is not the library's

import argparse
import glob
import json
import os
import re
import resource
import select
import signal
import socket
import subprocess
import tempfile
import time

from bench import path_replica
from bench.common.callgrind import ENVIRONMENT, Callgrind

ROOT = Path(__file__).resolve().parent.parent
COLONY = Path(os.environ.get("COLONY_E2E_BINARY") or ROOT / "build/release/colony")
COUNTS = ROOT / "bench/path_counts.json"
PATIENCE = 120  # seconds that a start or an answer may take on a loaded machine
BODY = b"x" * 256
APP = """applications:
  - name: echo
    route_prefix: /echo
    deployments:
      - name: echo
        runtime: echo
        num_replicas: 1
        max_ongoing_requests: 1000
"""
LINKS = ("ring", "socket")
# Of the proxy's loop, or the replica's, per request.
BOUNDS = {
    "h1 1 ring": {"system calls": 5.5, "allocations": 0},
    "h1 64 ring": {"system calls": 2.4, "allocations": 0},
    "h2 32 ring": {"allocations": 0},
    "h1 1 socket": {"system calls": 6.5, "allocations": 0},
    "h1 64 socket": {"system calls": 2.4, "allocations": 0},
    "h2 32 socket": {"allocations": 0},
    "replica raw 1": {"allocations": 2},
    "replica raw 16": {"allocations": 2},
    "replica json 1": {"allocations": 11},
    "replica json 16": {"allocations": 11},
    "replica grpc 1": {"allocations": 11},
    "replica grpc 16": {"allocations": 11},
}
IDLE_BYTES = 1024  # of the proxy's own memory per idle connection
MORE = 1.10  # instructions against the committed ones
SLACK = 0.02  # allocations per request that may belong to what a loop does by the clock


class House:
    """`colony up --processes` with the echo; what it runs is the replica, the discovery and what belongs to them."""

    def __init__(self, folder):
        app = Path(folder) / "echo.yaml"
        app.write_text(APP)
        self.data = Path(folder) / "data"
        command = [COLONY, "up", "--processes", "--http", "127.0.0.1:0", "--control", "127.0.0.1:0", "--loops", "1"]
        command += ["--data-dir", self.data, "-f", app]
        self.log = open(Path(folder) / "up.log", "wb")
        self.process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=self.log)
        try:
            self.wait_for_echo()
        except BaseException:
            self.stop()
            raise

    def wait_for_echo(self):
        text, end = b"", time.monotonic() + PATIENCE
        while b"echo  RUNNING" not in text:
            if not select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                raise SystemExit(f"the echo was not up within {PATIENCE} s: {text}")
            chunk = os.read(self.process.stdout.fileno(), 4096)
            if not chunk:
                raise SystemExit(f"colony up ended: {text} {Path(self.log.name).read_text()[-2000:]}")
            text += chunk

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
        self.process.stdout.close()
        self.log.close()


class Proxy:
    """A second proxy of that house, started from a copy of the first one's record; `prefix` goes before it."""

    def __init__(self, house, folder, link, prefix=()):
        environment = dict(os.environ, **ENVIRONMENT)
        if link == "socket":
            shim = Path(folder) / "no_memfd.so"
            compile_shim = ["clang++-19", "-O1", "-shared", "-fPIC", ROOT / "bench/no_memfd.cc", "-o", shim]
            subprocess.run([str(c) for c in compile_shim], check=True)
            environment["LD_PRELOAD"] = str(shim)
        place = Path(tempfile.mkdtemp(prefix="proxy-", dir=folder))
        record = json.loads((house.data / "run/colony.proxy/actor.json").read_text())
        payload = dict(json.loads(record["payload"]), listen="127.0.0.1:0")
        record |= {"id": "bench.proxy", "socket": str(place / "sock"), "payload": json.dumps(payload), "pid": 0}
        (place / "actor.json").write_text(json.dumps(record))
        self.log = open(place / "log", "wb")
        command = [str(c) for c in (*prefix, COLONY, "actor", "--dir", place)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=environment)
        self.pid = self.process.pid
        try:
            self.wait_for_table(place)
        except BaseException:
            self.stop()
            raise

    def wait_for_table(self, place):
        end = time.monotonic() + PATIENCE
        while not (place / "listen").exists() or not self.ready((place / "listen").read_text().split()[0]):
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit(f"the proxy does not serve the echo: {(place / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def ready(self, at):
        host, port = at.rsplit(":", 1)
        self.address = (host, int(port))
        with socket.create_connection(self.address, PATIENCE) as s:
            s.sendall(b"GET /v2/models/echo/ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return b" 200 " in s.recv(4096)

    def loop_thread(self):
        for task in glob.glob(f"/proc/{self.pid}/task/*"):
            if Path(task, "comm").read_text().strip() == "proxy-loop":
                return int(os.path.basename(task))
        raise SystemExit("no thread of the proxy is named proxy-loop")

    def stand_still(self):
        os.kill(self.pid, signal.SIGSTOP)
        while Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "Tt":
            time.sleep(0.0002)

    def go_on(self):
        os.kill(self.pid, signal.SIGCONT)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
            self.log.close()


class Http1:
    """`connections` clients, each with one request in flight."""

    def __init__(self, proxy, connections):
        self.proxy = proxy
        self.sockets = [socket.create_connection(proxy.address, PATIENCE) for _ in range(connections)]
        for s in self.sockets:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = (
            f"POST /echo HTTP/1.1\r\nHost: {proxy.address[0]}:{proxy.address[1]}\r\nContent-Length: {len(BODY)}\r\n"
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode() + BODY

    def round(self):
        together = len(self.sockets) > 1
        if together:
            self.proxy.stand_still()
        for s in self.sockets:
            s.sendall(self.request)
        if together:
            self.proxy.go_on()
        for s in self.sockets:
            reply = b""
            while not reply.endswith(b"\r\n\r\n" + BODY):
                piece = s.recv(65536)
                if not piece or len(reply) > 65536:
                    raise SystemExit(f"no echo came back: {reply[:500]}")
                reply += piece
            if not reply.startswith(b"HTTP/1.1 200 "):
                raise SystemExit(f"not 200: {reply[:500]}")
        return len(self.sockets)

    def close(self):
        for s in self.sockets:
            s.close()


class Http2:
    """One connection; `streams` requests are written together. Heads as a client with a dynamic table writes them."""

    def __init__(self, proxy, streams):
        self.proxy, self.streams, self.next_id, self.text = proxy, streams, 1, b""
        self.socket = socket.create_connection(proxy.address, PATIENCE)
        window = self.frame(8, 0, 0, (1 << 30).to_bytes(4, "big"))
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self.frame(4, 0, 0, b"") + window)
        self.head = b"\x83\x86"  # POST, http; then what goes to the dynamic table: path, authority, type, length
        authority = f"{proxy.address[0]}:{proxy.address[1]}".encode()
        for name, value in ((0x44, b"/echo"), (0x41, authority), (0x5F, b"application/octet-stream"), (0x5C, b"256")):
            self.head += bytes([name, len(value)]) + value

    @staticmethod
    def frame(kind, flags, stream, payload):
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

    def take_frame(self):
        while len(self.text) < 9 or len(self.text) < 9 + int.from_bytes(self.text[:3], "big"):
            piece = self.socket.recv(1 << 18)
            if not piece:
                raise SystemExit("the HTTP/2 connection was closed")
            self.text += piece
        length, kind, flags = int.from_bytes(self.text[:3], "big"), self.text[3], self.text[4]
        payload, self.text = self.text[9 : 9 + length], self.text[9 + length :]
        return kind, flags, payload

    def round(self):
        out = b""
        for _ in range(self.streams):
            out += self.frame(1, 4, self.next_id, self.head) + self.frame(0, 1, self.next_id, BODY)
            self.head = b"\x83\x86\xc1\xc0\xbf\xbe"
            self.next_id += 2
        self.proxy.stand_still()
        self.socket.sendall(out)
        self.proxy.go_on()
        echoed, ended = 0, 0
        while ended < self.streams:
            kind, flags, payload = self.take_frame()
            if kind == 4 and not flags & 1:
                self.socket.sendall(self.frame(4, 1, 0, b""))
            if kind in (3, 7):
                raise SystemExit(f"a stream or the connection was ended: frame {kind} {payload}")
            echoed += len(payload) if kind == 0 else 0
            ended += kind in (0, 1) and flags & 1
        if echoed != self.streams * len(BODY):
            raise SystemExit(f"{echoed} bytes were echoed, not {self.streams * len(BODY)}")
        return self.streams

    def close(self):
        self.socket.close()


SHAPES = {"h1 1": (Http1, 1), "h1 64": (Http1, 64), "h2 32": (Http2, 32)}


def drive(client, requests):
    done = 0
    while done < requests:
        done += client.round()
    return done


def each_shape(proxy, link, requests, measure):
    """measure(shape) gives a function that ends the measurement and answers what it found per request."""
    out = {}
    for shape, (kind, size) in SHAPES.items():
        client = kind(proxy, size)
        drive(client, 4 * size + 50)  # pools, buffers and tables have grown
        end = measure(shape)
        out[f"{shape} {link}"] = end(drive(client, requests))
        client.close()
    return out


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
        return each_shape(proxy, link, requests, measure)
    finally:
        proxy.stop()


def count_instructions(house, folder, link, requests):
    callgrind = Callgrind(folder)
    proxy = Proxy(house, folder, link, callgrind.prefix)
    callgrind.pid = proxy.pid

    def measure(_):
        callgrind.begin()
        return callgrind.end

    try:
        return each_shape(proxy, link, requests, measure)
    finally:
        proxy.stop()


def idle_bytes(house, folder, connections):
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
            held.append(socket.create_connection(proxy.address, PATIENCE))
            held[-1].sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n")
            if b" 200 " not in held[-1].recv(4096):
                raise SystemExit(f"connection {len(held)} was not answered")
        return (memory() - before) / connections
    finally:
        for s in held:
            s.close()
        proxy.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def check(result, idle):
    committed = json.loads(COUNTS.read_text())
    problems = []
    if idle > IDLE_BYTES:
        problems.append(f"an idle connection takes {idle:.0f} bytes, at most {IDLE_BYTES} are allowed")
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
    args = parser.parse_args()
    if not COLONY.exists():
        raise SystemExit(f"{COLONY} is missing: ./dev build release colony")
    calls, result = {}, {}
    with tempfile.TemporaryDirectory(prefix="colony-path-") as folder:
        house = House(folder)
        try:
            for link in LINKS:
                calls |= count_system_calls(house, folder, link, args.requests)
                result |= count_instructions(house, folder, link, args.requests)
            result |= path_replica.count(house, folder, COLONY, args.requests)
            idle = idle_bytes(house, folder, args.idle)
        finally:
            house.stop()
    print("| shape | system calls | allocations | instructions | which calls |\n|---|---|---|---|---|")
    for shape, found in result.items():
        which = ", ".join(f"{n:.2f} {name}" for name, n in calls.get(shape, {}).items() if n >= 0.005)
        if shape in calls:
            found["system calls"] = sum(calls[shape].values())
        in_all = f"{found['system calls']:.2f}" if shape in calls else ""
        print(f"| {shape} | {in_all} | {found['allocations']:.2f} | {found['instructions']:,.0f} | {which} |")
    print(f"\nAn idle connection takes {idle:.0f} bytes ({args.idle} held).")
    if args.write:
        COUNTS.write_text(
            json.dumps({s: {"instructions": round(f["instructions"])} for s, f in result.items()}, indent=2) + "\n"
        )
    problems = check(result, idle) if args.check else []
    print("\n".join(problems), file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
