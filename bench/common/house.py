"""A running house with one echo, and its proxy or its replica started a second time from a copy of its record, so that one process
alone can be watched: what is run before it (`prefix`) is callgrind, or nothing."""

import glob
import json
import os
import select
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from bench.common.arms import APP
from bench.common.callgrind import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[2]
COLONY = Path(os.environ.get("COLONY_E2E_BINARY") or ROOT / "build/release/colony")
PATIENCE = 120  # seconds that a start or an answer may take on a loaded machine


class House:
    """`colony up --processes` with the echo; what it runs is the replica, the discovery and what belongs to them."""

    def __init__(self, folder):
        app = Path(folder) / "echo.yaml"
        app.write_text(APP.format(replicas=1))
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


class Actor:
    """An actor of that house, once more."""

    def __init__(self, folder, record, prefix, environment):
        self.place = Path(tempfile.mkdtemp(prefix=f"{record['id']}-", dir=folder))
        record |= {"socket": str(self.place / "sock"), "pid": 0}
        (self.place / "actor.json").write_text(json.dumps(record))
        self.log = open(self.place / "log", "wb")
        command = [str(c) for c in (*prefix, COLONY, "actor", "--dir", self.place)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=dict(os.environ, **ENVIRONMENT, **environment))
        self.pid = self.process.pid
        try:
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def wait_until_ready(self):
        end = time.monotonic() + PATIENCE
        while not self.ready():
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit(f"{self.place.name} is not ready: {(self.place / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def ready(self):
        raise NotImplementedError

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
            self.log.close()


class Proxy(Actor):
    """`link`: ring, or socket for a machine without memfd."""

    def __init__(self, house, folder, link, prefix=()):
        environment = {}
        if link == "socket":
            shim = Path(folder) / "no_memfd.so"
            compile_shim = ["clang++-19", "-O1", "-shared", "-fPIC", ROOT / "bench/no_memfd.cc", "-o", shim]
            subprocess.run([str(c) for c in compile_shim], check=True)
            environment["LD_PRELOAD"] = str(shim)
        record = json.loads((house.data / "run/colony.proxy/actor.json").read_text())
        payload = dict(json.loads(record["payload"]), listen="127.0.0.1:0")
        super().__init__(folder, record | {"id": "bench.proxy", "payload": json.dumps(payload)}, prefix, environment)

    def ready(self):
        """Whether it listens and its table has the echo."""
        if not (self.place / "listen").exists():
            return False
        host, port = (self.place / "listen").read_text().split()[0].rsplit(":", 1)
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


class Replica(Actor):
    def __init__(self, house, folder, prefix=()):
        source = next(p for p in (house.data / "run").glob("*/actor.json") if '"role": "replica"' in p.read_text())
        super().__init__(folder, json.loads(source.read_text()) | {"id": "bench.replica"}, prefix, {})

    @property
    def address(self):
        return str(self.place / "sock")

    def ready(self):
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(PATIENCE)
                s.connect(self.address)
                s.sendall(b"GET /v2/health/ready HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                return b" 200 " in s.recv(4096)
        except OSError:
            return False
