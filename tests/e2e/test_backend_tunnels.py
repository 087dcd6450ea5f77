"""WebSockets and interim replies of a server of the user's own behind Colony: the library `websockets` on both sides, and
bytes where it says nothing."""
import contextlib
import os
import select
import signal
import socket
import struct
import threading

import pytest
import websockets
from running import PATIENCE, colony, free_port, wait_until
from websockets.sync.client import connect
from websockets.sync.server import serve, unix_serve


class Chat:
    """A WebSocket server: sends every message back; "close N" closes with that code, "pour N" sends N messages of 10,000 bytes,
    "ping" waits for a pong. The path /no is refused."""

    def __init__(self, address):
        self.address = address
        self.begun, self.ended, self.headers = 0, [], None
        options = {"process_request": self.look, "max_size": None,
                   "select_subprotocol": lambda _, offers: "chat.v2" if "chat.v2" in offers else None}
        if address.startswith("unix:"):
            self.server = unix_serve(self.talk, address[5:], **options)
        else:
            host, port = address.rsplit(":", 1)
            self.server = serve(self.talk, host, int(port), **options)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.thread.join(PATIENCE)

    def look(self, ws, request):
        self.headers = request.headers
        return ws.respond(403, "not you\n") if request.path == "/no" else None

    def talk(self, ws):
        self.begun += 1
        try:
            for message in ws:
                word, _, rest = message.partition(" ") if isinstance(message, str) else ("", "", "")
                if word == "close":
                    ws.close(int(rest), "as you say")
                elif word == "pour":
                    for i in range(int(rest)):
                        ws.send(struct.pack(">I", i) * 2500)
                elif word == "ping":
                    ws.send("pong" if ws.ping(b"there?").wait(PATIENCE) else "no pong")
                else:
                    ws.send(message)
            self.ended.append(ws.close_code)
        except websockets.ConnectionClosed:
            self.ended.append(ws.close_code)


class ByHand:
    """A server that answers by hand: next() gives the connection on which a request with this beginning has come, and its head."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.connections = []

    def next(self, beginning):
        while True:  # the proxy and its health checks connect without asking, too
            readable, _, _ = select.select([self.listener, *self.connections], [], [], PATIENCE)
            assert readable, f"no request that begins with {beginning}"
            for s in readable:
                if s is self.listener:
                    self.connections.append(s.accept()[0])
                    self.connections[-1].settimeout(PATIENCE)
                    continue
                head = s.recv(65536)
                if head.startswith(beginning):
                    return s, head
                s.close()
                self.connections.remove(s)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in (self.listener, *self.connections):
            s.close()


def read(s, until):
    text = b""
    while not text.endswith(until):
        more = s.recv(65536)
        assert more, text
        text += more
    return text


def app(address, name="web"):
    return {"name": name, "route_prefix": "/" if name == "web" else f"/{name}",
            "deployments": [{"name": "main", "runtime": "external", "backend": {"addresses": [address]}, "max_ongoing_requests": 50}]}


@pytest.fixture(scope="module")
def server():
    with colony() as c:
        yield c


@pytest.fixture(params=["tcp", "unix"])
def chat(request, server, tmp_path):
    made = Chat(f"127.0.0.1:{free_port()}" if request.param == "tcp" else f"unix:{tmp_path}/s")
    server.apply(app(made.address))
    yield made
    server.cli("delete", "web")
    made.stop()


@contextlib.contextmanager
def by_hand(server, name):
    """The application `name` with a server that the test plays, and a client's socket: both."""
    with ByHand() as backend:
        server.apply(app(backend.address, name))
        with socket.create_connection(server.http.rsplit(":", 1), timeout=PATIENCE) as client:
            yield backend, client
    server.cli("delete", name)


def upgraded(backend, client, name, first):
    """The server's side of a tunnel, after the client has read `first`."""
    client.sendall(b"GET /%s HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: own\r\n\r\n" % name)
    made, head = backend.next(b"GET /" + name)
    assert b"\r\nconnection: upgrade\r\nupgrade: own\r\n" in head, head
    made.sendall(b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: own\r\n\r\n" + first)
    read(client, first)
    return made


def nothing_runs(server):
    return all(p["ongoing"] == 0 for p in server.call("GET", "/api/v1/status")[1]["proxies"])


def test_messages_of_every_kind_pass_both_ways(server, chat):
    with connect(f"ws://{server.http}/any?x=1", subprotocols=["chat.v1", "chat.v2"], max_size=None) as ws:
        assert ws.subprotocol == "chat.v2"
        assert ws.response.headers["sec-websocket-extensions"].startswith("permessage-deflate")
        assert chat.headers["x-forwarded-for"] == "127.0.0.1" and chat.headers["x-request-id"] == ws.response.headers["x-request-id"]
        for message in ("text", "ümläut", "", b"", b"\0\xff", os.urandom(1 << 20), "x" * (1 << 20)):
            ws.send(message)
            assert ws.recv() == message
        ws.send(["in ", "three ", "parts"])
        assert ws.recv() == "in three parts"
        for i in range(1000):
            ws.send(f"message {i}")
            assert ws.recv() == f"message {i}"
        assert ws.ping(b"mine").wait(PATIENCE)
        ws.send("ping")
        assert ws.recv() == "pong"
        ws.close(4002, "enough")
    wait_until(lambda: chat.ended == [4002], f"the code arrives: {chat.ended}")
    wait_until(lambda: nothing_runs(server), "no request is left")


def test_the_server_closes_first(server, chat):
    for code in (1000, 1001, 4001):
        with connect(f"ws://{server.http}/") as ws:
            ws.send(f"close {code}")
            with pytest.raises(websockets.ConnectionClosed) as closed:
                ws.recv(PATIENCE)
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (code, "as you say")
    wait_until(lambda: nothing_runs(server), "no request is left")


def test_a_refused_handshake_is_an_ordinary_reply_and_the_connection_goes_on(server, chat):
    with pytest.raises(websockets.InvalidStatus) as refused:
        connect(f"ws://{server.http}/no")
    assert (refused.value.response.status_code, refused.value.response.body) == (403, b"not you\n")
    status, _, _ = server.request("GET", "/")  # `websockets` answers what is no handshake
    assert status == 426


def test_clients_that_vanish_end_their_tunnels_at_the_server(server, chat):
    clients = [connect(f"ws://{server.http}/", compression=None) for _ in range(10)]
    wait_until(lambda: chat.begun == 10, "all are served")
    for i, ws in enumerate(clients):
        ws.socket.sendall(b"\x81\xfe\x00\xff....half of a frame"[:i + 1])
        if i % 2:
            ws.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset instead of an end
        # WHY shutdown as well: the library's thread that reads from the socket keeps it open.
        with contextlib.suppress(OSError):
            ws.socket.shutdown(socket.SHUT_RDWR)
        ws.socket.close()
    wait_until(lambda: chat.ended == [1006] * 10, f"all end there: {chat.ended}")
    wait_until(lambda: nothing_runs(server), "no request is left")
    with connect(f"ws://{server.http}/") as ws:
        ws.send("still there")
        assert ws.recv() == "still there"


def test_a_client_that_does_not_read_holds_its_server_back_and_gets_everything_in_order(server, chat):
    with connect(f"ws://{server.http}/", compression=None, max_queue=1) as ws, connect(f"ws://{server.http}/") as other:
        ws.send("pour 5000")  # 50 MB: more than every buffer on the way
        for i in range(50):
            other.send(f"{i}")
            assert other.recv(PATIENCE) == f"{i}"
        for i in range(5000):
            assert ws.recv(PATIENCE) == struct.pack(">I", i) * 2500


def test_a_server_that_dies_ends_its_tunnels(server):
    with by_hand(server, "dies") as (backend, client):
        made = upgraded(backend, client, b"dies", b"first")
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        made.close()
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(65536) == b""


def test_a_server_that_has_ended_is_free_although_the_client_stays(server):
    with by_hand(server, "done") as (backend, client):
        made = upgraded(backend, client, b"done", b"bye")
        made.close()
        assert client.recv(65536) == b""
        wait_until(lambda: nothing_runs(server), "the client's socket is open and no request is left")


@pytest.mark.parametrize("how", ["delete", "end"])
def test_a_drain_ends_the_half_to_the_server_and_nobody_waits_for_the_rest(how, tmp_path):
    chat = Chat(f"unix:{tmp_path}/s")
    with colony() as c:
        c.apply(app(chat.address))
        with connect(f"ws://{c.http}/") as ws:
            ws.send("x")
            assert ws.recv() == "x"
            if how == "end":
                c.process.send_signal(signal.SIGINT)
            else:
                c.cli("delete", "web")
            with pytest.raises(websockets.ConnectionClosed):
                ws.recv(PATIENCE)
            wait_until(lambda: chat.ended == [1006], f"the server has heard it: {chat.ended}")
        if how == "end":
            assert c.process.wait(PATIENCE) == 0
    chat.stop()


def test_interim_replies_reach_the_client_and_the_server_says_whether_it_wants_the_body(server):
    with by_hand(server, "early") as (backend, client):
        client.sendall(b"GET /early HTTP/1.1\r\nhost: h\r\n\r\n")
        made, _ = backend.next(b"GET /early")
        made.sendall(b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n")
        assert read(client, b"\r\n\r\n") == b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n"
        made.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        assert read(client, b"ok").startswith(b"HTTP/1.1 200 OK\r\n")
        client.sendall(b"POST /early HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n")
        made, head = backend.next(b"POST /early")
        assert b"\r\nexpect: 100-continue\r\n" in head and head.endswith(b"\r\n\r\n"), head
        made.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert read(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"body")
        assert read(made, b"body") == b"body"
        made.sendall(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n")
        assert read(client, b"\r\n\r\n").startswith(b"HTTP/1.1 201 Created\r\n")
