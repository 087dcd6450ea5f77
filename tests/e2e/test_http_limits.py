"""Limits of a running proxy, as clients meet them, and replies that are passed on as they come."""

import contextlib
import re
import socket
import time

import pytest
from running import colony, echo_app, wait_until

LIMITS = ["--limits-body-bytes", "1MiB", "--limits-url-bytes", "200", "--limits-head-time-s", "1", "--limits-body-time-s", "1",
          "--limits-body-rate", "1000", "--limits-send-time-s", "1", "--limits-send-rate", "100000", "--limits-connections", "40",
          "--limits-connections-per-address", "30", "--limits-tunnel-idle-s", "1"]


@pytest.fixture(scope="module", params=[False, True], ids=["one process", "processes"])
def limited(request):
    with colony(request.param, args=LIMITS) as running:
        running.apply(echo_app(replicas=1, max_ongoing_requests=100))
        yield running


class Client:
    def __init__(self, running, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(60)
        host, port = running.http.rsplit(":", 1)
        self.socket.connect((host, int(port)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, text):
        self.socket.sendall(text if isinstance(text, bytes) else text.encode())

    def read_to_end(self):
        out = b""
        with contextlib.suppress(ConnectionResetError):
            while data := self.socket.recv(1 << 16):
                out += data
        return out

    def read_until(self, what):
        out = b""
        while what not in out:
            data = self.socket.recv(1 << 16)
            assert data, f"the end came after {out[-200:]}"
            out += data
        return out


def hits(running, limit):
    status, text = running.call("GET", "/metrics")
    assert status == 200
    return sum(int(v) for v in re.findall(rf'^colony_limit_hits_total{{.*limit="{limit}"}} (\d+)', text, re.M))


@contextlib.contextmanager
def one_more_hit(running, limit):
    before = hits(running, limit)
    yield
    wait_until(lambda: hits(running, limit) > before, f"{limit} is counted")


@pytest.mark.parametrize("limit,sent,status", [
    ("url_bytes", "GET /echo/" + "x" * 200 + " HTTP/1.1\r\nHost: h\r\n\r\n", 414),
    ("head_fields", "GET /echo HTTP/1.1\r\nHost: h\r\n" + "X: 1\r\n" * 101 + "\r\n", 431),
    ("head_bytes", "GET /echo HTTP/1.1\r\nHost: h\r\nX: " + "x" * 70000 + "\r\n\r\n", 431),
    ("body_bytes", f"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: {2 << 20}\r\n\r\n", 413),
    ("head_time_s", "GET /ec", 408),
    ("body_time_s", "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n", 408),
])
def test_a_request_beyond_a_limit_is_answered_by_its_name(limited, limit, sent, status):
    with one_more_hit(limited, limit), Client(limited) as c:
        c.send(sent)
        answer = c.read_to_end()
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer[:200]
        assert f'"reason":"{limit}"'.encode() in answer


def test_a_client_that_reads_too_slowly_is_ended_and_harms_nobody(limited):
    """Asks for the same megabyte again and again and reads next to nothing of the answers."""
    with one_more_hit(limited, "send_time_s"), Client(limited, receive_buffer=4096) as slow:
        body = b"y" * (1 << 20)
        slow.socket.settimeout(20)
        began = time.monotonic()
        with pytest.raises(OSError):
            for _ in range(1000):
                slow.send(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                assert limited.echo()[0] == 200
        assert time.monotonic() - began < 30, "it was ended in time"


def test_connections_of_one_address_are_bounded(limited):
    with one_more_hit(limited, "connections_per_address"), contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(limited)) for _ in range(35)]
        alive = 0
        for c in clients:
            with contextlib.suppress(OSError):
                c.send("GET /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
                alive += c.socket.recv(100).startswith(b"HTTP/1.1 200")
        assert 25 <= alive <= 30
    wait_until(lambda: limited.echo()[0] == 200, "there is room again")


def test_an_idle_tunnel_is_ended(limited):
    with one_more_hit(limited, "tunnel_idle_s"), Client(limited) as c:
        c.send("GET /echo HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        assert c.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        c.read_to_end()


def test_memory_is_refused_before_it_swells():
    """Many clients that do not read: the proxy holds what their windows allow, and no more once it is full."""
    with colony(args=["--limits-memory-bytes", "2MiB"]) as running, contextlib.ExitStack() as stack:
        running.apply(echo_app(replicas=1, max_ongoing_requests=100))
        body = b"z" * (8 << 20)

        def refused():
            # Each sends a body that comes back, and reads none of it.
            c = stack.enter_context(Client(running, receive_buffer=4096))
            c.socket.settimeout(1)
            with contextlib.suppress(OSError):
                c.send(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            status, fields, raw = running.echo()
            assert status in (200, 503)
            if status == 503:
                assert b'"reason":"memory_bytes"' in raw and "retry-after" in fields
            return status == 503

        wait_until(refused, "the proxy says that it is full", 120)
        assert running.request("GET", "/-/healthz")[0] == 200, "questions about the proxy itself are answered"
        stack.close()
        wait_until(lambda: running.echo()[0] == 200, "there is room again")
        wait_until(lambda: hits(running, "memory_bytes") > 0, "it is counted")


def test_every_event_arrives_before_the_next_is_made():
    with colony() as running:
        running.apply(echo_app(replicas=1))
        with Client(running) as c:
            c.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for i in range(200):
                event = f"data: {i}\n\n"
                c.send(f"{len(event):x}\r\n{event}\r\n")
                assert event.encode() in c.read_until(event.encode())
            c.send("0\r\n\r\n")
            c.read_until(b"0\r\n\r\n")
