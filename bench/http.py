#!/usr/bin/env python3
"""CPU per request of one HTTP hop: Colony (proxy + echo replica) against nginx and HAProxy before an equally fast origin
on a unix socket, and against uvicorn + FastAPI. Arms take turns within every round, so that a noisy moment hits all.

    ./dev bench http [--rounds 5] [--seconds 2] [--connections 1,16,64] [--layouts share,split] [--arms colony,haproxy,...]

CPU is what the scheduler charged to all processes of the arm (/proc/PID/task/*/schedstat), per answered request; the
load generator (wrk) is not counted. Layouts: `share`, load on one core, all of the arm on another; `split`, the proxy
alone on one core, what answers behind it beside the load. Prints a Markdown section for docs/benchmarks.md."""

import sys

sys.path.pop(0)  # this folder holds an http.py, which is not the library's

import argparse
import json
import os
import platform
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLONY = Path(os.environ.get("COLONY_BUILD_BINARY", ROOT / "build/release/colony"))
LOAD_CORE, ARM_CORE = 0, 1

WORKLOADS = {
    "raw": ("/echo", "application/octet-stream", "x" * 256),
    "oip": (
        "/v2/models/echo/infer",
        "application/json",
        '{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1.5]}]}',
    ),
}
APP = """applications:
  - name: echo
    route_prefix: /echo
    deployments:
      - name: echo
        runtime: echo
        num_replicas: 1
        max_ongoing_requests: 1000
"""
NGINX = """worker_processes 1; daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/nginx.err error;
events {{ worker_connections 4096; use epoll; multi_accept on; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; tcp_nodelay on; sendfile off;
 client_body_buffer_size 64k; client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
 uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
 upstream o {{ server unix:{origin}; keepalive 512; keepalive_requests 1000000000; keepalive_timeout 600s; }}
 server {{ listen 127.0.0.1:{port};
  location / {{ proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://o; proxy_buffers 8 16k; }} }} }}
"""
HAPROXY = """global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
  option http-keep-alive
frontend f
  bind 127.0.0.1:{port}
  default_backend b
backend b
  server o unix@{origin} pool-max-conn 1024 maxconn 1024
"""
FASTAPI = """from fastapi import FastAPI, Request, Response
app = FastAPI()
@app.post("/{path:path}")
async def echo(request: Request):
    return Response(await request.body(), media_type="application/octet-stream")
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(command, core, log, **more):
    return subprocess.Popen(
        ["taskset", "-c", str(core), *map(str, command)], stdout=log, stderr=log, start_new_session=True, **more
    )


def children(pid):
    """The process and all that descends from it."""
    out, parents = [pid], {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()
                parents.setdefault(int(fields[1]), []).append(int(entry))
            except OSError:
                pass
    for p in out:
        out += parents.get(p, [])
    return out


def cpu_us(pids):
    total = 0
    for pid in pids:
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                total += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
        except OSError:
            pass
    return total / 1000


class Arm:
    """One way to answer. `front` is the process that clients talk to, `back` what stands behind it."""

    def __init__(self, name, where, layout):
        self.name, self.dir, self.processes = name, where, []
        self.port = free_port()
        self.log = open(where / f"{name}.log", "wb")
        back_core = ARM_CORE if layout == "share" else LOAD_CORE
        getattr(self, "start_" + name)(back_core)

    def start_colony(self, back_core):
        app = self.dir / "echo.yaml"
        app.write_text(APP)
        control = free_port()
        command = [COLONY, "up", "--http", f"127.0.0.1:{self.port}", "--control", f"127.0.0.1:{control}"]
        command += ["--data-dir", self.dir / "data", "-f", app]
        self.processes.append(start(command, ARM_CORE, self.log))
        self.wait("/v2/models/echo/ready")
        if back_core != ARM_CORE:
            address = f"http://127.0.0.1:{control}"
            status = subprocess.run(
                [COLONY, "status", "echo", "--json", "--address", address], capture_output=True, text=True, check=True
            )
            apps = json.loads(status.stdout)
            for app_status in apps if isinstance(apps, list) else apps.get("applications", [apps]):
                for deployment in app_status["deployments"]:
                    for replica in deployment["replicas"]:
                        subprocess.run(
                            ["taskset", "-acp", str(back_core), str(replica["pid"])], stdout=self.log, check=True
                        )

    def start_peer(self, command, back_core):
        origin = self.dir / "origin.sock"
        self.processes.append(start([self.dir.parent / "origin", origin], back_core, self.log))
        self.processes.append(start(command, ARM_CORE, self.log))
        self.wait("/echo", b"x")

    def start_nginx(self, back_core):
        (self.dir / "nginx.conf").write_text(
            NGINX.format(dir=self.dir, origin=self.dir / "origin.sock", port=self.port)
        )
        self.start_peer([shutil.which("nginx") or "/usr/sbin/nginx", "-c", self.dir / "nginx.conf"], back_core)

    def start_haproxy(self, back_core):
        (self.dir / "haproxy.cfg").write_text(HAPROXY.format(origin=self.dir / "origin.sock", port=self.port))
        haproxy = shutil.which("haproxy") or "/usr/sbin/haproxy"
        self.start_peer([haproxy, "-q", "-db", "-f", self.dir / "haproxy.cfg"], back_core)

    def start_fastapi(self, _):
        (self.dir / "echo_app.py").write_text(FASTAPI)
        command = [sys.executable, "-m", "uvicorn", "echo_app:app", "--port", self.port, "--no-access-log"]
        self.processes.append(start(command, ARM_CORE, self.log, cwd=self.dir))
        self.wait("/echo", b"x")

    def wait(self, path, body=None):
        for _ in range(300):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", data=body, timeout=1) as reply:
                    if reply.status == 200:
                        return
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"{self.name} does not answer; see {self.log.name}")

    def pids(self):
        return [pid for p in self.processes for pid in children(p.pid)]

    def stop(self):
        for p in reversed(self.processes):
            p.send_signal(signal.SIGTERM)
        for p in self.processes:
            try:
                p.wait(20)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        self.log.close()


def load(arm, script, connections, seconds):
    path = WORKLOADS[script.stem][0]
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", script]
    command += ["--latency", f"http://127.0.0.1:{arm.port}{path}"]
    pids = arm.pids()
    before = cpu_us(pids)
    out = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=True).stdout
    used = cpu_us(pids) - before
    done = int(re.search(r"(\d+) requests in", out)[1])
    bad = int((re.search(r"Non-2xx or 3xx responses: (\d+)", out) or [0, 0])[1]) + ("Socket errors" in out)
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", out).groups()
    return {
        "cpu": used / max(done, 1),
        "rps": done / seconds,
        "p99": float(value) * {"us": 1, "ms": 1e3, "s": 1e6}[unit],
        "bad": bad,
    }


def interval(values):
    """95 % interval of the median by resampling."""
    rng = random.Random(1)
    medians = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(2000))
    return medians[50], medians[-51]


def table(results, baseline):
    lines = [
        "| workload | connections | arm | CPU us/request | 95 % | x HAProxy | requests/s | p99 us | failed |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (workload, connections, arm), rounds in results.items():
        cpu = [r["cpu"] for r in rounds]
        low, high = interval(cpu)
        base = results.get((workload, connections, baseline))
        ratio = statistics.median(a["cpu"] / b["cpu"] for a, b in zip(rounds, base)) if base else float("nan")
        lines.append(
            f"| {workload} | {connections} | {arm} | {statistics.median(cpu):.1f} | {low:.1f}-{high:.1f} | {ratio:.2f} "
            f"| {statistics.median(r['rps'] for r in rounds):,.0f} | {statistics.median(r['p99'] for r in rounds):,.0f} "
            f"| {sum(r['bad'] for r in rounds)} |"
        )
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--connections", default="1,16,64")
    parser.add_argument("--layouts", default="share,split")
    parser.add_argument("--workloads", default="raw,oip")
    parser.add_argument("--arms", default="colony,nginx,haproxy,fastapi")
    args = parser.parse_args()
    if (os.cpu_count() or 1) < 2:
        raise SystemExit("this bench needs two cores: one for the load, one for the arm")
    commit = subprocess.run(
        ["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    print(f"## HTTP hop\n\n{time.strftime('%Y-%m-%d', time.gmtime())}, commit {commit}, {os.cpu_count()} cores"
          f" ({cpu[1] if cpu else platform.machine()}), Linux {platform.release()}. {args.rounds} rounds of"
          f" {args.seconds:g} s, interleaved; medians.\n")
    with tempfile.TemporaryDirectory(prefix="colony-bench-") as temporary:
        top = Path(temporary)
        compile_origin = ["clang++-19", "-O2", "-std=c++23", ROOT / "bench/origin.cc", "-o", top / "origin"]
        subprocess.run([str(c) for c in compile_origin], check=True)
        scripts = {}
        for name in args.workloads.split(","):
            _, kind, body = WORKLOADS[name]
            scripts[name] = top / f"{name}.lua"
            scripts[name].write_text(
                f"wrk.method = 'POST'\nwrk.body = [[{body}]]\nwrk.headers['Content-Type'] = '{kind}'\n"
            )
        for layout in args.layouts.split(","):
            names = args.arms.split(",")
            arms, results = [], {}
            try:
                for name in names:
                    where = top / layout / name
                    where.mkdir(parents=True)
                    (top / layout / "origin").exists() or (top / layout / "origin").symlink_to(top / "origin")
                    arms.append(Arm(name, where, layout))
                for number in range(args.rounds):
                    for workload in scripts:
                        for connections in map(int, args.connections.split(",")):
                            for arm in arms[number % len(arms):] + arms[: number % len(arms)]:
                                one = load(arm, scripts[workload], connections, args.seconds)
                                results.setdefault((workload, connections, arm.name), []).append(one)
                    print(f"{layout}: round {number + 1} of {args.rounds}", file=sys.stderr)
            finally:
                for arm in arms:
                    arm.stop()
            ordered = {
                (w, c, n): results[w, c, n]
                for w in scripts
                for c in map(int, args.connections.split(","))
                for n in names
            }
            print(f"### Layout `{layout}`\n")
            print("\n".join(table(ordered, "haproxy")) + "\n")


if __name__ == "__main__":
    main()
