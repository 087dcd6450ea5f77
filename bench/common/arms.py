"""The arms of a bench: ways to answer. Each is a set of processes that start() makes and stop() ends; `address` is where clients
talk to, `front` the process that they talk to, `pids()` all of it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from bench.common.measure import BUILD, COLONY, LAYOUTS, ROOT, descendants

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "colony"
APP = """applications:
  - name: echo
    route_prefix: /echo
    deployments:
      - name: echo
        runtime: echo
        num_replicas: {replicas}
        max_ongoing_requests: 1000
"""
BACKEND = """applications:
  - name: echo
    route_prefix: /
    hosts: [{hosts}]
    deployments:
      - name: echo
        backend: {{addresses: ["unix:{origin}"], protocol: {protocol}}}
        max_ongoing_requests: 1000
"""
NGINX = """worker_processes 1; daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/nginx.err error;
events {{ worker_connections {connections}; use epoll; multi_accept on; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; tcp_nodelay on; sendfile off; client_max_body_size 0;
 client_body_buffer_size 64k; client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
 uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
 upstream o {{ server unix:{origin}; keepalive 512; keepalive_requests 1000000000; keepalive_timeout 600s; }}
 server {{ listen 127.0.0.1:{port}{h2}; http2_max_concurrent_streams 1024;
  location / {{ {forward} }} }} }}
"""
NGINX_H1 = 'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://o; proxy_buffers 8 16k;'
HAPROXY = """global
  nbthread 1
  maxconn {connections}
  no strict-limits
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  http-reuse always
  option http-keep-alive
frontend f
  bind 127.0.0.1:{port}{proto}
  default_backend b
backend b
  server o unix@{origin} pool-max-conn 1024 maxconn 1024{proto}
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


class Arm:
    """Pinned to the cores of its layout. Stop it even when start() failed."""

    protocol, prefix = "h1", []

    def __init__(self, name, folder, layout="share"):
        self.name, self.dir, self.layout, self.processes = name, Path(folder) / name, layout, []
        self.dir.mkdir(parents=True)
        _, self.front_core, self.back_core = LAYOUTS[layout]
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.log = open(self.dir / "log", "wb")
        self.front = None

    def spawn(self, command, core, **more):
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *map(str, command)], stdout=self.log, stderr=self.log, start_new_session=True, **more
        )
        self.processes.append(process)
        return process

    def wait(self, path, body=None, patience=60):
        end = time.monotonic() + patience
        while True:
            try:
                with urllib.request.urlopen(f"http://{self.address}{path}", data=body, timeout=2) as reply:
                    if reply.status == 200:
                        return
            except OSError:
                pass
            if time.monotonic() > end:
                raise SystemExit(f"{self.name} does not answer within {patience} s; it wrote: {self.tail()}")
            time.sleep(0.05)

    def wait_port(self, patience=60):
        end = time.monotonic() + patience
        while socket.socket().connect_ex(("127.0.0.1", self.port)) != 0:
            if time.monotonic() > end:
                raise SystemExit(f"{self.name} does not listen within {patience} s; it wrote: {self.tail()}")
            time.sleep(0.05)

    def tail(self):
        return (self.dir / "log").read_text(errors="replace")[-2000:]

    def pids(self):
        return [pid for p in self.processes for pid in descendants(p.pid)]

    def front_pids(self):
        return [self.front.pid] if self.front else []

    def stop(self):
        for p in reversed(self.processes):
            if p.poll() is None:
                p.send_signal(signal.SIGTERM)
        for p in self.processes:
            try:
                p.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(p.pid, signal.SIGKILL)
                p.wait()
        self.log.close()


class Colony(Arm):
    """`colony up` in one process with one loop, as the peers have one worker; replicas beside it."""

    def __init__(self, name, folder, layout="share", app=None, replicas=1, ready="/v2/models/echo/ready", protocol="h1", loops=1, args=(), whole=False):
        super().__init__(name, folder, layout)
        self.protocol, self.control = protocol, f"127.0.0.1:{free_port()}"
        spec = self.dir / "app.yaml"
        spec.write_text(app or APP.format(replicas=replicas))
        command = [COLONY, "up", "--http", self.address, "--control", self.control, "--loops", loops, *args]
        self.front = self.spawn([*command, "--data-dir", self.dir / "data", "-f", spec], self.front_core)
        self.wait(ready)
        if whole:
            self.wait_replicas()
        if self.back_core != self.front_core:
            for pid in self.replica_pids():
                subprocess.run(["taskset", "-acp", str(self.back_core), str(pid)], stdout=self.log, check=True)

    def wait_replicas(self, patience=120):
        """Until every replica of every deployment is READY, not only the first."""
        end = time.monotonic() + patience
        while True:
            states = [r["state"] for a in self.status() for d in a["deployments"] for r in d["replicas"]]
            if states and set(states) == {"READY"} and all(a["status"] == "RUNNING" for a in self.status()):
                return
            if time.monotonic() > end:
                raise SystemExit(f"{self.name}: replicas are {states} after {patience} s")
            time.sleep(0.1)

    def status(self):
        with urllib.request.urlopen(f"http://{self.control}/api/v1/applications", timeout=10) as reply:
            found = json.load(reply)
        return found if isinstance(found, list) else found["applications"]

    def replica_pids(self):
        return [r["pid"] for a in self.status() for d in a["deployments"] for r in d["replicas"] if r.get("pid")]


class Peer(Arm):
    """A proxy before an origin on a unix socket."""

    def start(self, origin, command, ready=True):
        self.spawn([BUILD / origin, self.dir / "origin"], self.back_core)
        self.front = self.spawn(command, self.front_core)
        self.wait("/echo", b"x") if ready else self.wait_port()


def nginx(folder, layout="share", name="nginx", forward=NGINX_H1, origin="h1_origin", h2=False, connections=4096):
    arm = Peer(name, folder, layout)
    arm.protocol = "h2" if h2 else "h1"
    (arm.dir / "nginx.conf").write_text(
        NGINX.format(
            dir=arm.dir, origin=arm.dir / "origin", port=arm.port, h2=" http2" if h2 else "", forward=forward,
            connections=connections,
        )
    )
    return started(arm, origin, [shutil.which("nginx") or "/usr/sbin/nginx", "-c", arm.dir / "nginx.conf"], not h2)


def haproxy(folder, layout="share", name="haproxy", origin="h1_origin", h2=False, connections=4096):
    arm = Peer(name, folder, layout)
    arm.protocol = "h2" if h2 else "h1"
    proto = " proto h2" if h2 else ""
    (arm.dir / "haproxy.cfg").write_text(HAPROXY.format(origin=arm.dir / "origin", port=arm.port, proto=proto, connections=connections))
    return started(arm, origin, [shutil.which("haproxy") or "/usr/sbin/haproxy", "-q", "-db", "-f", arm.dir / "haproxy.cfg"], not h2)


def backend(folder, layout="share", name="backend", origin="h1_origin", h2=False):
    """Colony before the peers' own origin: a server of the user's own."""
    arm = Peer(name, folder, layout)
    arm.protocol = "h2" if h2 else "h1"
    spec = arm.dir / "app.yaml"
    spec.write_text(BACKEND.format(origin=arm.dir / "origin", protocol="h2c" if h2 else "http1",
                                   hosts="127.0.0.1" if h2 else ""))  # the inference service too goes to the origin
    command = [COLONY, "up", "--http", arm.address, "--control", f"127.0.0.1:{free_port()}", "--loops", 1]
    return started(arm, origin, [*command, "--data-dir", arm.dir / "data", "-f", spec])


def started(arm, *how):
    try:
        arm.start(*how)
    except BaseException:
        arm.stop()
        raise
    return arm


def fastapi(folder, layout="share"):
    arm = Arm("fastapi", folder, layout)
    (arm.dir / "echo_app.py").write_text(FASTAPI)
    command = [sys.executable, "-m", "uvicorn", "echo_app:app", "--port", arm.port, "--no-access-log"]
    arm.front = arm.spawn(command, arm.front_core, cwd=arm.dir)
    arm.wait("/echo", b"x")
    return arm


def start_all(folder, makers):
    """makers: functions of a folder. All arms, or none."""
    arms = []
    try:
        for make in makers:
            arms.append(make(folder))
    except BaseException:
        stop_all(arms)
        raise
    return arms


def stop_all(arms):
    for arm in arms:
        arm.stop()
