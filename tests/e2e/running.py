"""A running Colony for the end-to-end tests: starts the real binary on free ports in a folder of the test's own, talks to its
control API and its proxy, and checks at the end that nothing is left.

COLONY_BINARY names the program. Every wait has a deadline; no test sleeps to synchronise.
"""
import contextlib
import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time

BINARY = os.environ["COLONY_BINARY"]
SOURCE = os.environ["COLONY_SOURCE_DIR"]
PATIENCE = 60.0  # seconds: how long a wait may take on a machine under load


def wait_until(condition, what, patience=PATIENCE):
    """Polls `condition` (every 10 ms) until it returns something true, which is returned."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {patience} s: {what}")
        time.sleep(0.01)


def alive(pid):
    """Is this process there and no zombie?"""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Colony:
    """`colony up` with its data in `data_dir`. processes: the shape with one process per role."""

    def __init__(self, data_dir, processes=False, args=(), env=None, prefix=()):
        self.data_dir, self.processes, self.args = data_dir, processes, list(args)
        self.env = {**os.environ, **(env or {})}
        self.prefix = list(prefix)
        self.process = None
        self.http = self.control = None

    def command(self):
        command = [*self.prefix, BINARY, "up", "--data-dir", self.data_dir]
        for flag in ("--http", "--control"):
            if flag not in self.args:
                command += [flag, "127.0.0.1:0"]
        return command + (["--processes"] if self.processes else []) + self.args

    def start(self):
        self.log = open(os.path.join(os.path.dirname(self.data_dir), f"up-{time.monotonic_ns()}.log"), "wb")
        self.process = subprocess.Popen(self.command(), stdout=subprocess.PIPE, stderr=self.log, env=self.env)
        text, end = b"", time.monotonic() + PATIENCE
        while b"data " not in text:
            if not select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"colony up said nothing for {PATIENCE} s: {text}")
            chunk = os.read(self.process.stdout.fileno(), 4096)
            if not chunk:
                raise AssertionError(f"colony up ended with {self.process.wait()}: {text} {self.errors()}")
            text += chunk
        self.banner = text.decode()
        self.http = re.search(r"requests +https?://(\S+)", self.banner)[1]
        self.control = re.search(r"control +http://(\S+)", self.banner)[1]
        return self

    def errors(self):
        self.log.flush()
        with open(self.log.name, errors="replace") as f:
            return f.read()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.stop()

    def stop(self):
        """Ctrl-C: everything ends, nothing is left."""
        pids = self.all_pids()
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(PATIENCE)
        assert code == 0, f"colony up ended with {code}: {self.errors()[-2000:]}"
        wait_until(lambda: not any(alive(p) for p in pids), f"processes {pids} end with colony up", 10)

    def kill(self):
        """kill -9 of `colony up` itself."""
        self.process.kill()
        self.process.wait()

    # ---- control ----
    def call(self, method, path, body=None, headers=None):
        """(status, parsed JSON or text) of the control API."""
        connection = http.client.HTTPConnection(self.control, timeout=PATIENCE)
        data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
        connection.request(method, path, data, {"content-type": "application/json", **(headers or {})})
        reply = connection.getresponse()
        raw = reply.read()
        connection.close()
        try:
            return reply.status, json.loads(raw)
        except ValueError:
            return reply.status, raw.decode(errors="replace")

    def cli(self, *args, check=True, stdin=None):
        """Runs the CLI against this server; (exit code, stdout, stderr)."""
        done = subprocess.run([BINARY, *args], capture_output=True, text=True, timeout=PATIENCE * 2, input=stdin,
                              env={**self.env, "COLONY_ADDRESS": self.control})
        if check:
            assert done.returncode == 0, f"colony {' '.join(args)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.returncode, done.stdout, done.stderr

    def apply(self, spec):
        """Applies one app (dict) and waits until it runs this revision."""
        status, change = self.call("PUT", f"/api/v1/applications/{spec['name']}", spec)
        assert status in (200, 201), (status, change)
        self.wait_running(spec["name"], change["revision"])
        return change

    def status(self, app):
        code, status = self.call("GET", f"/api/v1/applications/{app}")
        return status if code == 200 else None

    def wait_running(self, app, revision=0):
        def there():
            s = self.status(app)
            assert not s or s["status"] != "DEPLOY_FAILED" or s["revision"] < revision, s["message"]
            return s if s and s["status"] == "RUNNING" and s["revision"] >= revision else None

        return wait_until(there, f"{app} RUNNING at revision {revision}; it is {self.status(app)}")

    def replicas(self, app):
        s = self.status(app)
        return [r for d in s["deployments"] for r in d["replicas"]] if s else []

    def pids(self, app):
        return {r["id"]: r["pid"] for r in self.replicas(app)}

    def role_pid(self, role):
        """Pid of a role's process, from its record in the run directory (processes=True)."""
        if role == "agent":
            with open(f"{self.data_dir}/run/agent.pid") as f:
                return int(f.read())
        with open(f"{self.data_dir}/run/colony.{role}/actor.json") as f:
            return json.load(f)["pid"]

    def all_pids(self):
        """Every process that was started below this data directory, and `colony up`."""
        pids, run = {self.process.pid}, f"{self.data_dir}/run"
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    if run.encode() in f.read():
                        pids.add(int(pid))
        return pids

    # ---- requests ----
    def request(self, method, path, body=None, headers=None, timeout=PATIENCE):
        """(status, headers, bytes) through the proxy, on a connection of its own."""
        connection = http.client.HTTPConnection(self.http, timeout=timeout)
        connection.request(method, path, body, headers or {})
        reply = connection.getresponse()
        raw = reply.read()
        connection.close()
        return reply.status, dict((k.lower(), v) for k, v in reply.getheaders()), raw

    def echo(self, app="echo", text=b"hello"):
        return self.request("POST", f"/{app}", text)


class Threads:
    """`_run(i)` in threads of its own until the block ends; it counts in `count` and keeps what went wrong in `failures`."""

    enough = 20  # requests after which a load is taken to flow

    def __init__(self, clients):
        self.clients, self.failures, self.count = clients, [], 0
        self._stop, self._lock = threading.Event(), threading.Lock()

    def __enter__(self):
        self._threads = [threading.Thread(target=self._run, args=(i,), daemon=True) for i in range(self.clients)]
        for t in self._threads:
            t.start()
        self.flowed()
        return self

    def flowed(self, n=None):
        """Waits for n more answers."""
        n = self.enough if n is None else n
        goal = self.count + n
        wait_until(lambda: self.count >= goal, f"{n} more requests; failures: {self.failures[:5]}")

    def __exit__(self, *_):
        self._stop.set()
        for t in self._threads:
            t.join(PATIENCE)


class Load(Threads):
    """Requests without a pause from `clients` threads over keep-alive connections, until the block ends. Every answer but
    the expected one is kept in `failures`. The block ends with the proof that requests did flow."""

    enough = 50

    def __init__(self, colony, path="/echo", body=b"ping", clients=4, check=None):
        super().__init__(clients)
        self.address, self.path, self.body = colony.http, path, body
        self.check = check or (lambda status, raw: status == 200 and raw == body)

    def _run(self, _):
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE)
        while not self._stop.is_set():
            try:
                connection.request("POST", self.path, self.body)
                reply = connection.getresponse()
                raw = reply.read()
                failure = None if self.check(reply.status, raw) else (reply.status, raw[:300])
            except (OSError, http.client.HTTPException) as e:
                failure = repr(e)
                connection.close()
            with self._lock:
                self.count += 1
                if failure and len(self.failures) < 50:
                    self.failures.append(failure)
        connection.close()

    def __exit__(self, kind, *rest):
        if kind is None:
            self.flowed()
        super().__exit__(kind, *rest)


def echo_app(name="echo", replicas=2, **more):
    return {"name": name, "deployments": [{"name": "main", "runtime": "echo", "num_replicas": replicas, **more}]}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def colony(processes=False, args=(), **more):
    """A Colony in a fresh folder, stopped with Ctrl-C at the end of the block."""
    with tempfile.TemporaryDirectory(prefix="colony-e2e-") as folder:
        with Colony(os.path.join(folder, "data"), processes, args, **more) as running:
            yield running
