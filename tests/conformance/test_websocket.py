"""WebSocket by its RFC and by other people's client: the case table and the library `websockets`, against a replica's own
socket and through a proxy to a replica. The echo runtime sends every message back."""

import asyncio
import base64
import contextlib
import hashlib
import os
import signal
import socket
import struct

import pytest
import websocket_cases as cases
import websockets
from replica_process import Replica
from running import colony, echo_app, wait_until
from websockets.sync.client import connect

KINDS = {1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}


@pytest.fixture(scope="module")
def replica():
    r = Replica({"name": "echo", "runtime": "echo", "max_ongoing_requests": 100}, "echo")
    yield r
    r.stop()


@pytest.fixture(scope="module")
def proxy():
    with colony() as running:
        running.apply(echo_app(replicas=1, max_ongoing_requests=100))
        yield running


@pytest.fixture(params=["replica", "proxy"])
def address(request, replica, proxy):
    return replica.address if request.param == "replica" else proxy.http


class Raw:
    """A client that sends what it is told and reads frames."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.got = b""

    def shake(self, method="GET", version="1.1", lines=cases.ASK + cases.VERSION + cases.KEY):
        fields = "" if lines is None else "Host: h\r\n" + lines
        self.socket.sendall(f"{method} /echo HTTP/{version}\r\n{fields}\r\n".encode())
        while b"\r\n\r\n" not in self.got:
            self.got += self.some()
        head, self.got = self.got.split(b"\r\n\r\n", 1)
        status, *rest = head.decode().split("\r\n")
        return int(status.split()[1]), dict((k.lower(), v) for k, v in (line.split(": ", 1) for line in rest))

    def some(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise EOFError
        return data

    def take(self, n):
        while len(self.got) < n:
            self.got += self.some()
        out, self.got = self.got[:n], self.got[n:]
        return out

    def frame(self):
        first, second = self.take(2)
        assert first & 0x70 == 0 and first & 0x80 and second & 0x80 == 0, "a server's frame: whole, no reserved bits, no mask"
        size = second
        if size == 126:
            size = struct.unpack(">H", self.take(2))[0]
            assert size > 125
        elif size == 127:
            size = struct.unpack(">Q", self.take(8))[0]
            assert size > 65535
        kind, data = KINDS[first & 15], self.take(size)
        if kind == "close":
            return kind, struct.unpack(">H", data[:2])[0] if data else None
        return kind, data

    def expect_end(self):
        try:
            more = self.got + self.some()
        except (EOFError, ConnectionResetError):
            more = self.got
        assert more == b"", f"bytes after the close: {more[:100]}"


def run_case(address, sent, answers, step=None):
    client = Raw(address)
    with client.socket:
        assert client.shake()[0] == 101
        closes = bool(answers) and answers[-1][0] == "close"
        if not closes:
            sent, answers = sent + cases.close(1000), [*answers, ("close", 1000)]
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for at in range(0, len(sent), step or len(sent)):
                client.socket.sendall(sent[at:at + (step or len(sent))])
        for i, answer in enumerate(answers):
            assert client.frame() == answer, f"answer {i}"
        client.expect_end()


def test_every_case_of_the_table(address):
    assert len(cases.CASES) >= 200
    wrong = []
    for name, sent, answers in cases.CASES:
        for step in (None, 1) if len(sent) < 400 else (None,):
            try:
                run_case(address, sent, answers, step)
            except (AssertionError, OSError, EOFError) as e:
                wrong.append(f"{name}{' byte by byte' if step else ''}: {e!r}"[:300])
    assert not wrong, f"{len(wrong)} of {len(cases.CASES)}:\n" + "\n".join(wrong)


@pytest.mark.parametrize("name,method,version,lines,status", cases.HANDSHAKES, ids=lambda v: v if isinstance(v, str) and len(v) < 30 else "")
def test_the_opening_handshake(address, name, method, version, lines, status):
    client = Raw(address)
    with client.socket:
        got, fields = client.shake(method, version, lines)
        assert got == status
        if status == 101:
            key = hashlib.sha1(b"dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
            assert fields["sec-websocket-accept"] == base64.b64encode(key).decode()
            assert fields["upgrade"] == "websocket" and fields["connection"].lower() == "upgrade"
            assert not {"sec-websocket-extensions", "sec-websocket-protocol", "content-length", "transfer-encoding"} & set(fields)
        if status == 426:
            assert fields["sec-websocket-version"] == "13"


def test_large_and_many_messages(address):
    with connect(f"ws://{address}/echo", max_size=None, compression=None) as ws:
        for size in (0, 1, 65536, 1 << 20, cases.MAX_MESSAGE):
            data = os.urandom(size)
            ws.send(data)
            assert ws.recv() == data
        for i in range(3000):
            ws.send(f"message {i}")
            assert ws.recv() == f"message {i}"
        ws.send(["in ", "three ", "parts"])
        assert ws.recv() == "in three parts"
        pong = ws.ping("keep")
        assert pong.wait(60)
    assert ws.close_code == 1000


def test_a_client_that_sends_before_it_reads_gets_everything_in_order(address):
    async def run():
        async with websockets.connect(f"ws://{address}/echo", compression=None, max_size=None) as ws:
            async def send():
                for i in range(400):
                    await ws.send(i.to_bytes(4, "big") * 5000)

            sending = asyncio.create_task(send())
            for i in range(400):
                assert await ws.recv() == i.to_bytes(4, "big") * 5000
            await sending

    asyncio.run(asyncio.wait_for(run(), 120))


def test_a_message_too_big_is_closed_with_1009(address):
    with connect(f"ws://{address}/echo", compression=None) as ws:
        with pytest.raises(websockets.ConnectionClosed) as closed:
            ws.send(b"x" * (cases.MAX_MESSAGE + 1))
            ws.recv()
        assert closed.value.rcvd.code == 1009


def test_clients_that_vanish_leave_nothing(proxy):
    clients = [Raw(proxy.http) for _ in range(20)]
    for i, c in enumerate(clients):
        assert c.shake()[0] == 101
        c.socket.sendall(cases.text("x" * 100)[:20 + i])
    for c in clients:
        c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset instead of an end
        c.socket.close()
    wait_until(lambda: all(p["ongoing"] == 0 for p in proxy.call("GET", "/api/v1/status")[1]["proxies"]), "no request is left")
    with connect(f"ws://{proxy.http}/echo") as ws:
        ws.send("still there")
        assert ws.recv() == "still there"


def test_a_drained_replica_says_that_it_goes_away(proxy):
    proxy.apply(echo_app("leaving", replicas=1))
    with connect(f"ws://{proxy.http}/leaving") as ws:
        ws.send("x")
        assert ws.recv() == "x"
        assert proxy.call("DELETE", "/api/v1/applications/leaving")[0] in (200, 202, 204)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            ws.recv(60)
        assert closed.value.rcvd.code == 1001


def test_a_colony_that_ends_says_that_it_goes_away():
    with colony() as running:
        running.apply(echo_app(replicas=1))
        with connect(f"ws://{running.http}/echo") as ws:
            ws.send("x")
            assert ws.recv() == "x"
            running.process.send_signal(signal.SIGINT)
            with pytest.raises(websockets.ConnectionClosed) as closed:
                ws.recv(60)
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1001, closed.value
        assert running.process.wait(60) == 0
