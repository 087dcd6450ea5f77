"""HTTP/2 to the letter, at the proxy's port and at a replica's own socket: h2spec, the case that its published module lacks, and
clients that do on purpose what costs a server most. Such a client is cut off; whoever else is connected notices nothing."""
import os
import re
import struct
import subprocess
import threading
from pathlib import Path

import h2_wire as h2
import pytest
from running import PATIENCE, colony, echo_app, wait_until

H2SPEC = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "colony" / "third_party" / "h2spec"


@pytest.fixture(scope="module")
def server():
    with colony() as c:
        c.apply(echo_app())
        yield c


@pytest.fixture(params=["proxy", "replica"])
def where(server, request):
    """What speaks HTTP/2: an address for h2_wire.Peer."""
    return server.http if request.param == "proxy" else server.replicas("echo")[0]["address"].removeprefix("unix:")


def h2spec(port):
    command = [H2SPEC, "--strict", "-h", "127.0.0.1", "-p", str(port), "-P", "/echo?show=head", "-o", "10"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=250)
    summary = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", run.stdout)
    assert summary, run.stdout + run.stderr
    total, passed, skipped, failed = [int(n) for n in summary.groups()]
    assert total >= 145 and (passed, skipped, failed) == (total, 0, 0), run.stdout[run.stdout.find("Failures:"):]


def test_every_case_of_h2spec_passes_at_the_proxy(server):
    h2spec(server.http.rsplit(":", 1)[1])


def test_every_case_of_h2spec_passes_at_a_replica(server):
    with h2.relay(server.replicas("echo")[0]["address"].removeprefix("unix:")) as port:
        h2spec(port)


def test_a_skipped_stream_id_cannot_be_opened_later(where):
    with h2.Peer(where) as peer:
        peer.send(h2.request(1, "/echo") + h2.request(7, "/echo"))
        peer.reply(7)
        peer.send(h2.request(3, "/echo"))
        assert peer.goaway() == (7, h2.PROTOCOL_ERROR)


def test_trailers_on_their_way_to_an_answered_stream_are_no_error(where):
    with h2.Peer(where) as peer:
        peer.send(h2.request(1, "/v2/models/absent/infer", flags=0))
        assert next(stream for kind, _, stream, _ in peer.frames() if kind == h2.RST_STREAM) == 1
        peer.send(h2.request(5, "/echo"))
        peer.reply(5)
        peer.send(h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 1, h2.field("x-late", "1")))
        peer.send(h2.request(7, "/echo", flags=0) + h2.frame(h2.DATA, h2.END_STREAM, 7, b"next"))
        assert peer.reply(7) == b"next"


# ---- floods ----
def endless(start, unit):
    """Frames that open stream 1, then units without end."""
    yield start
    stream = 3
    while True:
        piece = b""
        for _ in range(200):
            piece += unit(stream)
            stream += 2
        yield piece


def bomb(stream):
    value = "v" * 3000
    stored = b"\x40" + h2.number(1, 7) + b"x" + h2.number(len(value), 7) + value.encode()
    return h2.request(stream, "/echo", extra=stored + bytes([0x80 | 62]) * 10_000)


OPEN = h2.request(1, "/echo", flags=0)
FLOODS = {
    "ping": (b"", lambda _: h2.frame(h2.PING, 0, 0, b"12345678")),
    "settings": (b"", lambda _: h2.frame(h2.SETTINGS, 0, 0)),
    "priority": (b"", lambda _: h2.frame(h2.PRIORITY, 0, 1, struct.pack(">IB", 0, 16))),
    "empty data": (OPEN, lambda _: h2.frame(h2.DATA, 0, 1)),
    "window of the connection": (b"", lambda _: h2.frame(h2.WINDOW_UPDATE, 0, 0, struct.pack(">I", 1))),
    "window of a stream": (OPEN, lambda _: h2.frame(h2.WINDOW_UPDATE, 0, 1, struct.pack(">I", 1))),
    "rapid reset": (b"", lambda s: h2.request(s, "/echo", flags=0) + h2.frame(h2.RST_STREAM, 0, s, struct.pack(">I", h2.CANCEL))),
    "continuation": (h2.frame(h2.HEADERS, 0, 1, h2.field("x", "y")), lambda _: h2.frame(h2.CONTINUATION, 0, 1, h2.field("x", "y"))),
    "exploding headers": (b"", bomb),
}


class Bystander:
    """A client that asks again and again on its own connection while something goes on; every answer must be right."""

    def __init__(self, where):
        self.where, self.ended, self.answers, self.wrong = where, threading.Event(), 0, None

    def __enter__(self):
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        wait_until(lambda: self.answers > 0 or self.wrong, "the bystander is served")
        return self

    def run(self):
        try:
            with h2.Peer(self.where) as peer:
                stream = 1
                while not self.ended.is_set():
                    body = b"%d" % stream
                    peer.send(h2.request(stream, "/echo", flags=0) + h2.frame(h2.DATA, h2.END_STREAM, stream, body))
                    assert peer.reply(stream) == body
                    self.answers += 1
                    stream += 2
        except Exception as e:
            self.wrong = e

    def __exit__(self, *_):
        before = self.answers
        wait_until(lambda: self.answers > before or self.wrong, "the bystander is still served")
        self.ended.set()
        self.thread.join(PATIENCE)
        assert self.wrong is None, self.wrong


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_is_cut_off_and_nobody_else_notices(where, flood):
    start, unit = FLOODS[flood]
    with Bystander(where), h2.Peer(where) as peer:
        sent = 0
        answer = []
        reader = threading.Thread(target=lambda: answer.append(peer.goaway()))
        reader.start()
        try:
            for piece in endless(start, unit):
                if answer:
                    break  # it was cut off; what is sent after that is thrown away for a moment
                peer.send(piece)
                sent += len(piece)
                assert sent < 64 << 20, "64 MiB of it were taken"
        except OSError:
            pass  # the server has closed
        reader.join(PATIENCE)
        assert answer and answer[0] is not None and answer[0][1] == h2.ENHANCE_YOUR_CALM, answer
