#!/usr/bin/env python3
"""An echo of 256 bytes by Ray Serve 2 (as it comes; and with HAProxy and its throughput options, its best mode) and by Colony, one
replica each. Arms take turns within every round.

    ./dev bench ray [--rounds 3] [--seconds 3] [--connections 1,16,64] [--arms colony,ray,ray-best] [--quick]

Ray runs in a network and process namespace of its own (root is needed): its HAProxy listens on all interfaces. CPU is that of all
processes of the arm, `hop` that of those which a request meets (proxy, HAProxy, replica). Load on core 0, arms on core 1. Prints a section for docs/benchmarks.md."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # this folder holds modules that are not the library's

import os
import re
import subprocess
import tempfile
import time

from bench.common import arms
from bench.common.measure import cpu_table, flags, in_turn, load, print_head, say

ECHO = """from ray import serve
from starlette.requests import Request
from starlette.responses import Response


@serve.deployment(num_replicas=1, max_ongoing_requests=100, ray_actor_options={"num_cpus": 0.1})
class Echo:
    async def __call__(self, request: Request):
        return Response(await request.body(), media_type="application/octet-stream")


app = Echo.bind()
"""
# Everything of Ray lives below this shell, which is the namespaces' first process: when it ends, they end.
SCRIPT = """set -u
ip link set lo up
ray start --head --node-ip-address=127.0.0.1 --port=6379 --num-cpus=4 --object-store-memory=100000000 --temp-dir={dir}/r || exit 1
serve run --non-blocking --route-prefix /echo echo_app:app || exit 1
sleep infinity
"""
PATH = re.compile(r"ray::(ServeReplica|ProxyActor|HAProxy)|haproxy")


class Ray(arms.Arm):
    def __init__(self, name, folder, best=False):
        super().__init__(name, folder)
        venv = arms.CACHE / "venv/ray/bin"
        (self.dir / "echo_app.py").write_text(ECHO)
        (self.dir / "run").write_text(SCRIPT.format(dir=self.dir))
        env = dict(os.environ, PATH=f"{venv}:{os.environ['PATH']}", HOME=str(self.dir), PYTHONPATH=str(self.dir))
        env |= {"RAY_ADDRESS": "127.0.0.1:6379", "RAY_USAGE_STATS_ENABLED": "0", "PYTHONWARNINGS": "ignore", "RAY_AUTH_MODE": "disabled", "RAY_raylet_start_wait_time_s": "120"}
        env |= {"RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60"}  # 5 s are not enough on a busy machine
        if best:
            state = self.dir / "ha"
            env |= {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
            env |= {"RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": f"{state}/haproxy.cfg", "RAY_SERVE_HAPROXY_SOCKET_PATH": f"{state}/admin.sock"}
            env |= {"RAY_SERVE_HAPROXY_SERVER_STATE_BASE": f"{state}", "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": f"{state}/state"}
        command = ["unshare", "--net", "--pid", "--mount", "--mount-proc", "--fork", "--kill-child", "bash", self.dir / "run"]
        self.address = "127.0.0.1:8000"
        self.outer = self.spawn(command, f"0-{os.cpu_count() - 1}", cwd=self.dir, env=env)  # its start is work for all cores
        self.wait_inside()
        for pid in self.pids():
            subprocess.run(["taskset", "-acp", str(self.front_core), str(pid)], capture_output=True, check=False)

    def inner_pid(self):
        """The first process inside the namespaces."""
        for pid in self.pids()[1:]:
            try:
                if os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net"):
                    return pid
            except OSError:
                pass
        return None

    def wait_inside(self, patience=240):
        end = time.monotonic() + patience
        while time.monotonic() < end and self.outer.poll() is None:
            if pid := self.inner_pid():
                self.prefix = ["nsenter", "-t", str(pid), "-n"]
                ask = [*self.prefix, "curl", "-sf", "-m", "3", "--data-binary", "ping", f"http://{self.address}/echo"]
                if subprocess.run(ask, capture_output=True, check=False).stdout == b"ping":
                    time.sleep(3)  # its controller goes on for a while
                    return
            time.sleep(0.3)
        raise SystemExit(f"{self.name} does not answer; it wrote: {self.tail()}")

    def front_pids(self):
        out = []
        for pid in self.pids():
            try:
                if PATH.search(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")):
                    out.append(pid)
            except OSError:
                pass
        return out


MAKERS = {
    "colony": lambda f: arms.Colony("colony", f),
    "ray": lambda f: Ray("ray", f),
    "ray-best": lambda f: Ray("ray-best", f, best=True),
}


def main():
    args = flags(__doc__, rounds=3, seconds=3.0, connections="1,16,64", arms=",".join(MAKERS))
    if os.geteuid() != 0:
        raise SystemExit("./dev bench ray needs root, for the namespaces")
    print_head("Ray Serve", f"{args.rounds} rounds of {args.seconds:g} s, interleaved; medians, ratios per round.")
    with tempfile.TemporaryDirectory(prefix="cb-") as folder:  # short: Ray's sockets have room for 107 bytes
        running = []
        try:
            for name in args.arms.split(","):
                running.append(MAKERS[name](folder))
            counts = [int(c) for c in args.connections.split(",")]
            results = {(c, a.name): [] for c in counts for a in running}
            for arm in running:
                load(arm, ["raw"], seconds=min(2.0, args.seconds), connections=16)
            for number in range(args.rounds):
                for count in counts:
                    for arm in in_turn(running, number):
                        results[count, arm.name].append(load(arm, ["raw"], seconds=args.seconds, connections=count))
                say(f"round {number + 1} of {args.rounds}")
            print(cpu_table(results, [a.name for a in running if a.name != "colony"], ["connections"]))
        finally:
            arms.stop_all(running)


if __name__ == "__main__":
    main()
