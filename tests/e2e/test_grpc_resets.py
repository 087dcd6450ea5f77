"""A gRPC server of the user's own that resets its calls before it answers: the status is the one that gRPC gives the reset, and
only what the server says it has not begun is sent again."""
import contextlib
import socket
import threading

import grpc
import h2_wire
import pytest
from running import PATIENCE, colony

CODES = [(7, "UNAVAILABLE"), (8, "CANCELLED"), (11, "RESOURCE_EXHAUSTED"), (12, "PERMISSION_DENIED"), (0, "INTERNAL"),
         (1, "INTERNAL"), (2, "INTERNAL"), (13, "INTERNAL")]


class Resetting:
    """Answers the preface of each connection and resets every call with `code`."""

    def __init__(self):
        self.code, self.calls = 0, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.serve, args=(self.listener.accept()[0],), daemon=True).start()

    def serve(self, made):
        with made, made.makefile("rb") as read, contextlib.suppress(OSError):
            if read.read(len(h2_wire.PREFACE)) != h2_wire.PREFACE:
                return
            made.sendall(h2_wire.frame(h2_wire.SETTINGS, 0, 0))
            while len(head := read.read(9)) == 9:
                payload = read.read(int.from_bytes(head[:3], "big"))
                kind, flags, stream = head[3], head[4], int.from_bytes(head[5:9], "big")
                if kind == h2_wire.PING and not flags & 1:
                    made.sendall(h2_wire.frame(h2_wire.PING, 1, 0, payload))
                if kind == h2_wire.HEADERS:
                    self.calls += 1
                    made.sendall(h2_wire.frame(h2_wire.RST_STREAM, 0, stream, self.code.to_bytes(4, "big")))


@pytest.fixture(scope="module")
def world():
    servers = [Resetting(), Resetting()]
    with colony() as c:
        c.apply({"name": "shop", "route_prefix": "/shop", "deployments": [
            {"name": "main", "runtime": "external", "grpc_services": ["shop.v1.Shop"], "idempotent": True,
             "backend": {"addresses": [s.address for s in servers], "protocol": "h2c"}, "max_ongoing_requests": 100}]})
        with grpc.insecure_channel(c.http, options=[("grpc.enable_retries", 0)]) as channel:
            yield servers, channel
    for s in servers:
        s.listener.close()


@pytest.mark.parametrize("code,status", CODES)
def test_a_reset_is_the_status_that_grpc_gives_it(world, code, status):
    servers, channel = world
    for s in servers:
        s.code, s.calls = code, 0
    with pytest.raises(grpc.RpcError) as e:
        channel.unary_unary("/shop.v1.Shop/Get")(b"x", timeout=PATIENCE)
    assert e.value.code().name == status, e.value
    assert dict(e.value.trailing_metadata())["x-colony-reason"] == "backend_reset", e.value
    assert "reset the call" in e.value.details()
    calls = sum(s.calls for s in servers)
    assert calls == 1 if code != 7 else calls == 2, "a call that was refused goes to the other address, no other call does"
