"""A proxy that is replaced, or killed, while requests run: colony restart proxy loses none, a newer colony neither, and kill -9 loses
only what was under way: nobody is refused."""
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from running import BINARY, PATIENCE, Colony, Load, Threads, alive, colony, echo_app, free_port, wait_until
from test_tls import TlsLoad, flags, pki  # noqa: F401 (pki is a fixture)


class Asking(Threads):
    """`ask()` again and again in threads until the block ends; what it raises is kept in `failures`."""

    def __init__(self, ask, clients=2):
        super().__init__(clients)
        self.ask = ask

    def _run(self, _):
        while not self._stop.is_set():
            failure = None
            try:
                self.ask()
            except Exception as e:  # whatever it is, it is a failed request
                failure = e
            with self._lock:
                self.count += 1
                if failure is not None:
                    self.failures.append(failure)


def on_a_connection_of_its_own(address):
    def ask():
        connection = http.client.HTTPConnection(address, timeout=PATIENCE)
        connection.request("POST", "/echo", b"ping")
        reply = connection.getresponse()
        assert (reply.status, reply.read()) == (200, b"ping")
        connection.close()

    return ask


def by_http2(address):
    def ask():
        done = subprocess.run(["curl", "-sS", "--http2-prior-knowledge", "-d", "ping", f"http://{address}/echo"], capture_output=True,
                              timeout=PATIENCE)
        assert (done.returncode, done.stdout) == (0, b"ping"), done

    return ask


@contextlib.contextmanager
def by_grpc(address):
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)

        def ask():
            reply = stub.Check(health_pb2.HealthCheckRequest(service="echo"), timeout=PATIENCE)
            assert reply.status == health_pb2.HealthCheckResponse.SERVING

        yield ask


@contextlib.contextmanager
def every_kind_of_load(c):
    """The loads by name; at the end each of them has flowed and none has failed."""
    with by_grpc(c.http) as grpc_ask, contextlib.ExitStack() as stack:
        loads = {"keep-alive": stack.enter_context(Load(c, clients=3)),
                 "connection per request": stack.enter_context(Asking(on_a_connection_of_its_own(c.http))),
                 "http2": stack.enter_context(Asking(by_http2(c.http), clients=1)),
                 "grpc": stack.enter_context(Asking(grpc_ask))}
        yield loads
        for load in loads.values():
            load.flowed()
    assert {name: load.failures[:5] for name, load in loads.items() if load.failures} == {}


def proxies(c):
    """Pids of the proxies that run, by actor id."""
    out = {}
    for folder in os.listdir(f"{c.data_dir}/run"):
        if folder.startswith("colony.proxy"):
            with contextlib.suppress(OSError, ValueError):
                with open(f"{c.data_dir}/run/{folder}/actor.json") as f:
                    out[folder] = json.load(f)["pid"]
    return out


def test_restarts_under_load_lose_no_request():
    with colony(processes=True) as c:
        c.apply(echo_app(replicas=2, max_ongoing_requests=100))
        replicas = c.pids("echo")
        with every_kind_of_load(c) as loads:
            for _ in range(3):
                before = proxies(c)
                out = c.cli("restart", "proxy")[1]
                assert "has taken over" in out
                for load in loads.values():
                    load.flowed()
                wait_until(lambda: not any(alive(p) for p in before.values()), f"the old proxies {before} end")
                assert len(proxies(c)) == 1 and not set(proxies(c)) & set(before)
        assert c.pids("echo") == replicas
        # It is found again by the next launcher, and only it.
        now = proxies(c)
        c.kill()
        c.start()
        assert proxies(c) == now


def test_a_request_that_runs_while_the_proxy_is_replaced_ends_well():
    with colony(processes=True) as c:
        c.apply(echo_app(replicas=1))
        s = socket.create_connection(c.http.split(":"), PATIENCE)
        s.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
        idle = http.client.HTTPConnection(c.http, timeout=PATIENCE)
        idle.request("POST", "/echo", b"one")
        assert idle.getresponse().read() == b"one"
        c.cli("restart", "proxy")
        idle.request("POST", "/echo", b"two")  # on the connection to the old proxy
        reply = idle.getresponse()
        assert reply.read() == b"two" and reply.getheader("connection") == "close"
        s.sendall(b"world")
        text = b""
        while piece := s.recv(65536):
            text += piece
        assert text.startswith(b"HTTP/1.1 200") and text.endswith(b"helloworld"), text


def test_a_restart_under_tls_loses_no_request(pki):  # noqa: F811
    with colony(processes=True, args=flags(pki)) as c:
        c.apply(echo_app(replicas=1))
        with TlsLoad(c, pki) as load:
            for _ in range(2):
                c.cli("restart", "proxy")
                load.flowed()
        assert not load.failures, load.failures[:5]


def test_a_successor_that_cannot_start_leaves_the_old_proxy_in_place(pki, tmp_path):  # noqa: F811
    for name in ("pem", "key"):
        shutil.copy(pki / f"first.{name}", tmp_path / f"server.{name}")
    with colony(processes=True, args=["--tls-cert", str(tmp_path / "server.pem"), "--tls-key", str(tmp_path / "server.key")]) as c:
        c.apply(echo_app(replicas=1))
        before = proxies(c)
        (tmp_path / "server.key").write_text("broken")
        code, _, err = c.cli("restart", "proxy", "--timeout", "8", check=False)
        assert code != 0 and "the old one goes on" in err, (code, err)
        wait_until(lambda: proxies(c) == before, "the successor is gone again")
        with TlsLoad(c, pki) as load:
            load.flowed()
        assert not load.failures, load.failures[:5]


def test_one_process_says_what_would_be_needed():
    with colony() as c:
        code, _, err = c.cli("restart", "proxy", check=False)
        assert code == 1 and "--processes" in err, (code, err)


# ---- kill -9 ----
def refused(failures):
    return [f for f in failures if isinstance(f, ConnectionRefusedError)]


def kill_proxy(c):
    pid = c.role_pid("proxy")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: c.role_pid("proxy") not in (0, pid), "the agent has started it again")


@pytest.mark.parametrize("kill_the_agent_first", [False, True], ids=["proxy", "agent-then-proxy"])
def test_after_kill_9_nobody_is_refused(kill_the_agent_first):
    with colony(processes=True) as c:
        c.apply(echo_app(replicas=1, max_ongoing_requests=100))
        with Asking(on_a_connection_of_its_own(c.http), clients=4) as load:
            if kill_the_agent_first:
                agent = c.role_pid("agent")
                os.kill(agent, signal.SIGKILL)
                wait_until(lambda: c.role_pid("agent") != agent, "a new agent")
                load.flowed(100)
            for _ in range(3):
                load.flowed(100)
                kill_proxy(c)
                load.flowed(100)
        # What was under way is lost, one request of each client and kill; connections that came meanwhile have waited.
        assert not refused(load.failures), refused(load.failures)
        assert len(load.failures) <= 4 * 3, load.failures


# ---- a newer colony ----
def test_a_newer_binary_takes_over_from_the_one_that_runs(tmp_path):
    older = str(tmp_path / "older-colony")
    shutil.copy(BINARY, older)  # another file with another time: another build

    class Older(Colony):
        def command(self):
            return [older if word == BINARY else word for word in super().command()]

    with Older(str(tmp_path / "data"), processes=True, args=["--http", f"127.0.0.1:{free_port()}"]) as old:
        old.apply(echo_app(replicas=2, max_ongoing_requests=100))
        replicas, before = old.pids("echo"), proxies(old)
        new = Colony(old.data_dir, processes=True, args=old.args)
        try:
            with every_kind_of_load(old) as loads:
                old.kill()
                new.start()
                for load in loads.values():
                    load.flowed()
                wait_until(lambda: not any(alive(p) for p in before.values()), "the old proxy ends")
            assert new.pids("echo") == replicas
            for pid in [new.role_pid("agent"), *proxies(new).values()]:
                assert os.readlink(f"/proc/{pid}/exe") == os.path.realpath(BINARY)
        finally:
            new.stop()
