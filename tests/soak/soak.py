"""Mixed load for a while, with a replica killed every five seconds, and every minute the proxy killed or restarted in turn: no idempotent request may fail, no
answer may be wrong, memory and open files stay flat. Usage: tools/test/soak [MINUTES] [--json FILE] [--seed N].

The load is bench/loadgen, which checks every reply against its request and says when each failure was, and the clients of
side_clients.py. Exit 0: all of it held. What is judged how:
  - inference (REST and gRPC) and raw requests marked idempotent: no failure, but for what was cut by a kill -9 of the proxy
    itself (failures between a kill and a second after the new one serves); an orderly restart is no excuse;
  - bodies above what a proxy keeps for a retry: failures within three seconds of a replica's death are counted, not judged;
  - every reply, at any time: its own request's bytes."""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/e2e"))

from running import BINARY, Colony, alive, echo_app, wait_until
from side_clients import Floods, Messages, SlowReader, Stream
from watch import Watch

LOADGEN = os.environ["COLONY_LOADGEN"]
# Each replica lives 65 s when the oldest of 13 dies every 5 s: long enough that the agent's back-off forgets its last death.
REPLICAS, KILL_EVERY_S, PROXY_EVERY_S = 13, 5, 60
AFTER_REPLICA_S, AFTER_PROXY_S = 3, 1
IDEMPOTENT = "header=x-idempotent: true"
# HTTP/2 says which requests a leaving server has not begun; every client sends those again. HTTP/1.1 has no such word: there a
# connection that closes without an answer is a failure.
H2 = ["--protocol", "h2", "--retry-stale", "1"]
LOADS = {
    "h1": ["--connections", "16", "--rate", "250", "oip,weight=50", f"raw,weight=45,{IDEMPOTENT}",
           f"raw,name=raw16k,bytes=16384,weight=5,{IDEMPOTENT}"],
    "h2": [*H2, "--connections", "4", "--streams", "16", "--rate", "250", "oip,weight=50",
           f"raw,weight=45,{IDEMPOTENT}", f"raw,name=raw16k,bytes=16384,weight=5,{IDEMPOTENT}"],
    "grpc": [*H2, "--connections", "4", "--streams", "16", "--rate", "250", "grpc"],
    "big": ["--connections", "2", "--rate", "1", "raw,name=big,bytes=8388608"],
    "big over h2": [*H2, "--connections", "2", "--streams", "2", "--rate", "1", "raw,name=big,bytes=8388608"],
    "aborts": ["--connections", "8", "--rate", "30", "raw,name=left,bytes=65536,abort=0.9", "oip,weight=0.2,abort=0.5"],
    "aborts over h2": [*H2, "--connections", "4", "--streams", "8", "--rate", "30", "grpc,abort=0.5", "raw,name=left,bytes=65536,abort=0.9"],
}  # fmt: skip
NOT_RETRIED = {"big", "left"}  # bodies that are not kept whole


def proxies(colony):
    """{actor: pid} of the proxies that run; two while one takes over from another."""
    found = {}
    for record in Path(colony.data_dir, "run").glob("colony.proxy*/actor.json"):
        with contextlib.suppress(OSError, ValueError):
            pid = json.loads(record.read_text())["pid"]
            if alive(pid):
                found[record.parent.name] = pid
    return found


class Chaos:
    """Kills, and remembers when. Every window is (from, to) in wall-clock seconds."""

    def __init__(self, colony, app):
        self.colony, self.app, self.stopping = colony, app, threading.Event()
        self.replica_windows, self.proxy_windows, self.complaints = [], [], []
        self.restarts = 0
        self.threads = [
            threading.Thread(target=self.every, args=(KILL_EVERY_S, self.kill_a_replica), daemon=True),
            threading.Thread(target=self.every, args=(PROXY_EVERY_S, self.replace_the_proxy), daemon=True),
        ]
        for t in self.threads:
            t.start()

    def every(self, period, act):
        while not self.stopping.wait(period):
            try:
                act()
            except Exception as e:  # noqa: BLE001 - said at the end; the soak goes on
                self.complaints.append(f"{act.__name__}: {e!r}")

    def kill_a_replica(self):
        ready = [r for r in self.colony.replicas(self.app) if r["state"] == "READY"]
        if len(ready) < REPLICAS - 3:
            self.complaints.append(f"only {len(ready)} of {REPLICAS} replicas are ready")
        oldest = min(ready, key=lambda r: os.stat(f"/proc/{r['pid']}").st_ctime)
        now = time.time()
        self.replica_windows.append((now, now + AFTER_REPLICA_S))
        os.kill(oldest["pid"], signal.SIGKILL)

    def replace_the_proxy(self):
        """In turn: `colony restart proxy`, which may cost no request, and kill -9, which may cost those that it carried."""
        if len(self.proxy_windows) < self.restarts:
            return self.kill_the_proxy()
        before = proxies(self.colony)
        self.colony.cli("restart", "proxy")
        self.restarts += 1
        wait_until(lambda: proxies(self.colony) and not set(proxies(self.colony).values()) & set(before.values()), "the old proxy ends", 60)

    def kill_the_proxy(self):
        (pid, *_), now = proxies(self.colony).values(), time.time()
        self.proxy_windows.append((now, float("inf")))
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not alive(pid), "the kill", 10)

        def serves():
            try:
                return self.colony.echo()[0] == 200
            except OSError:
                return False

        wait_until(serves, "a new proxy", 30)
        self.proxy_windows[-1] = (now, time.time() + AFTER_PROXY_S)

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join(60)


def inside(at, windows):
    return any(begin <= at <= end for begin, end in windows)


def judge(report, chaos):
    """(failures that must not be, those that were cut by a kill)."""
    bad, excused = [], 0
    for f in report["failures"]:
        if f["why"] == "wrong reply":
            bad.append(f)
        elif inside(f["at"], chaos.proxy_windows) or (
            f["kind"] in NOT_RETRIED and inside(f["at"], chaos.replica_windows)
        ):
            excused += 1
        else:
            bad.append(f)
    # More failures than the generator keeps, or requests that were never sent: nobody can say when they were.
    unknown = report["failed"] - len(report["failures"])
    if unknown > 0:
        bad.append({"kind": "?", "why": f"{unknown} more, or never sent: {report['errors']}"})
    return bad, excused


def run_load(name, address, seconds, seed):
    command = [LOADGEN, address, "--seconds", str(seconds), "--timeout", "20", "--seed", str(seed)]
    done = subprocess.run([*command, *LOADS[name]], capture_output=True, text=True, timeout=seconds + 120, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{name}: {done.stderr}")
    return json.loads(done.stdout)


def roles(colony, app):
    found = {role: [colony.role_pid(role)] for role in ("agent", "keeper", "master-host", "discovery")}
    found["proxy"] = list(proxies(colony).values())
    found["colony up"] = [colony.process.pid]
    found["replicas"] = [r["pid"] for r in colony.replicas(app) if r["state"] == "READY"]
    return found


def soak(minutes, seed):
    random.seed(seed)
    seconds = round(minutes * 60)
    with tempfile.TemporaryDirectory(prefix="colony-soak-") as folder:
        with Colony(f"{folder}/data", processes=True, args=["--cpus", "64"]) as colony:
            colony.apply(echo_app(replicas=REPLICAS, max_ongoing_requests=100))
            watch = Watch(lambda: roles(colony, "echo"))
            watch.start()
            clients = [SlowReader(colony.http) for _ in range(5)] + [Stream(colony.http) for _ in range(2)] + [Messages(colony.http) for _ in range(2)]
            clients += [Floods(colony.http)]
            for c in clients:
                c.start()
            chaos = Chaos(colony, "echo")
            with ThreadPoolExecutor(len(LOADS)) as pool:
                running = {n: pool.submit(run_load, n, colony.http, seconds, seed + i) for i, n in enumerate(LOADS)}
                reports = {n: f.result() for n, f in running.items()}
            chaos.stop()
            for c in clients:
                c.stop()
            watch.stop()
            restarts = sum(r["restarts"] for r in colony.replicas("echo"))
            return reports, chaos, clients, watch, restarts


def write(minutes, seed, reports, chaos, clients, watch, restarts):
    """Prints the report; returns it with the list of what did not hold."""
    problems = list(chaos.complaints)
    print(f"## Soak\n\n{minutes:g} minutes, seed {seed}: {len(chaos.replica_windows)} kills of a replica ({restarts} restarts),"
          f" {len(chaos.proxy_windows)} of the proxy, {chaos.restarts} orderly restarts of it.\n")
    print("| load | requests | answered | wrong | failed | cut by a kill | aborted by the client | sent again | p50 ms | p99 ms |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, r in reports.items():
        bad, excused = judge(r, chaos)
        problems += [f"{name}: {len(bad)} failures, such as {bad[:3]}"] if bad else []
        print(f"| {name} | {r['asked']} | {r['good']} | {r['wrong']} | {len(bad)} | {excused} | {r['aborted']} | {r['retried']} "
              f"| {r['latency_us']['p50'] / 1e3:.1f} | {r['latency_us']['p99'] / 1e3:.1f} |")
    print("\n| other clients | done | cut | wrong |\n|---|---|---|---|")
    for kind in dict.fromkeys(type(c) for c in clients):
        same = [c.report() for c in clients if type(c) is kind]
        wrong = [w for c in same for w in c["wrong"]]
        problems += wrong
        print(f"| {kind.__name__} | {sum(c['done'] for c in same)} | {sum(c['broken'] for c in same)} | {len(wrong)} |")
    print("\n| process | KiB, first half | second half | files, first half | second half |\n|---|---|---|---|---|")
    for role, ((m1, f1), (m2, f2)) in watch.halves().items():
        print(f"| {role} | {m1} | {m2} | {f1} | {f2} |")
    if b"__asan_init" in Path(BINARY).read_bytes():
        print("\nThe sanitizer keeps freed memory: memory is shown, not judged.")
    else:
        problems += watch.problems()
    print("\n" + ("Everything held." if not problems else "Did not hold:\n" + "\n".join(f"- {p}" for p in problems)))
    return {
        "minutes": minutes,
        "seed": seed,
        "loads": reports,
        "proxy_windows": chaos.proxy_windows,
        "replica_windows": chaos.replica_windows,
        "processes": watch.halves(),
        "problems": problems,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("minutes", nargs="?", type=float, default=30)
    parser.add_argument("--json", help="the whole report goes here too")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(2)))
    args = parser.parse_args()
    report = write(args.minutes, args.seed, *soak(args.minutes, args.seed))
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=1))
    return 1 if report["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
