"""HTTP/2 by hand for the end-to-end tests: frames as bytes, header fields without a table, and a relay that gives a unix socket
a TCP port for tools that know no other."""
import contextlib
import socket
import struct
import threading

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4
PROTOCOL_ERROR, CANCEL, ENHANCE_YOUR_CALM = 1, 8, 11
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def number(value, prefix):
    """HPACK's integer; the bits above the prefix are zero."""
    most = (1 << prefix) - 1
    if value < most:
        return bytes([value])
    out, value = bytes([most]), value - most
    while value >= 128:
        out += bytes([value % 128 + 128])
        value //= 128
    return out + bytes([value])


def field(name, value):
    """A literal that goes into no table."""
    return b"\0" + number(len(name), 7) + name.encode() + number(len(value), 7) + value.encode()


def request(stream, path, extra=b"", flags=END_STREAM, method="POST"):
    block = field(":method", method) + field(":scheme", "http") + field(":path", path) + field(":authority", "h2.example") + extra
    return frame(HEADERS, flags | END_HEADERS, stream, block)


class Peer:
    """A client of bare frames. `where`: "host:port" or the path of a unix socket."""

    def __init__(self, where, settings=b"", patience=60.0):
        if where.startswith("/"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(patience)
            self.socket.connect(where)
        else:
            host, port = where.rsplit(":", 1)
            self.socket = socket.create_connection((host, int(port)), timeout=patience)
        self.buffer = b""
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def _fill(self, n):
        while len(self.buffer) < n:
            part = self.socket.recv(65536)
            if not part:
                return False
            self.buffer += part
        return True

    def frames(self):
        """(type, flags, stream, payload) as they come, until the server ends the connection."""
        while self._fill(9):
            size = int.from_bytes(self.buffer[:3], "big")
            if not self._fill(9 + size):
                return
            kind, flags, stream = self.buffer[3], self.buffer[4], int.from_bytes(self.buffer[5:9], "big")
            payload, self.buffer = self.buffer[9:9 + size], self.buffer[9 + size:]
            yield kind, flags, stream, payload

    def reply(self, stream):
        """The body of the reply on `stream`."""
        body = b""
        for kind, flags, on, payload in self.frames():
            assert kind not in (GOAWAY, RST_STREAM), (kind, on, payload)
            if on != stream or kind not in (DATA, HEADERS):
                continue
            if kind == DATA:
                body += payload
            if flags & END_STREAM:
                return body
        raise AssertionError(f"the connection ended; so far: {body[:100]}")

    def goaway(self):
        """(last stream id, code) of the GOAWAY after which the connection is ended; None when there was none."""
        last = None
        with contextlib.suppress(ConnectionError):  # who goes on sending may be reset afterwards
            for kind, _, _, payload in self.frames():
                if kind == GOAWAY:
                    last = struct.unpack(">II", payload[:8])
        return last


@contextlib.contextmanager
def relay(path):
    """A loopback port whose connections reach the unix socket `path`; an end on one side becomes an end on the other."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads = []

    def pump(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def accept():
        while True:
            try:
                front, _ = listener.accept()
            except OSError:
                return
            back = socket.socket(socket.AF_UNIX)
            back.connect(path)
            for pair in ((front, back), (back, front)):
                threads.append(threading.Thread(target=pump, args=pair, daemon=True))
                threads[-1].start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join(10)
