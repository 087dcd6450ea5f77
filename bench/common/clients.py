"""Clients whose every request is the same, for counting: each round() writes what it has in flight together, waits for all replies,
checks them and answers how many there were. HTTP/1.1 and HTTP/2 talk to a proxy; Link stands for the proxy before a replica."""

import re
import socket
import struct

from bench.common.house import PATIENCE

ECHOED = b"x" * 256
HELLO, REQUEST, REPLY, BODY, END, PING, PONG = 1, 2, 3, 4, 5, 8, 9
ENDS = 1
BATCHES = (1, 16)
ADDED = (  # by the proxy
    "x-request-id: 93665ef5578248bea9d10b9fbc9e162a\r\n"
    "traceparent: 00-50b12e7f9243d8d64912247a8297951f-cd25fb4fafdbc8af-01\r\n"
    "x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\nx-forwarded-host: 127.0.0.1:8000\r\n"
)


def head(path, kind, length):
    lines = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:8000\r\ncontent-type: {kind}\r\n"
    if kind == "application/grpc":
        lines += "te: trailers\r\nuser-agent: bench\r\n"
    return f"{lines}content-length: {length}\r\n{ADDED}\r\n".encode()


def message(number, payload):
    return bytes([number << 3 | 2, len(payload)]) + payload


def frames():
    """Name -> head, body and what the reply must hold."""
    infer = b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1234.25]}]}'
    tensor = message(1, b"x") + message(2, b"FP32") + message(3, b"\x01")
    call = message(1, b"echo") + message(5, tensor) + message(7, struct.pack("<f", 1234.25))
    call = b"\0" + len(call).to_bytes(4, "big") + call
    return {
        "raw": (head("/echo", "application/octet-stream", len(ECHOED)), ECHOED, ECHOED),
        "json": (head("/v2/models/echo/infer", "application/json", len(infer)), infer, b'"data":[1234.25]'),
        "grpc": (head("/inference.GRPCInferenceService/ModelInfer", "application/grpc", len(call)), call,
                 struct.pack("<f", 1234.25)),
    }  # fmt: skip


def frame(kind, stream, payload=b"", head_len=0, flags=0, time=0):
    return struct.pack("<IIIIBBH", len(payload), stream, head_len, time, kind, flags, 0) + payload


class Frames:
    """What comes over a socket, frame by frame; `head_bytes` of a frame say how long the rest is, by length_of(head)."""

    def __init__(self, socket, head_bytes, length_of):
        self.socket, self.head_bytes, self.length_of, self.text = socket, head_bytes, length_of, b""

    def take(self):
        """Head and payload of the next frame."""
        while (size := self.size()) is None or len(self.text) < size:
            piece = self.socket.recv(1 << 18)
            if not piece:
                raise SystemExit("the connection was closed within a frame, or before the next one")
            self.text += piece
        head, payload, self.text = self.text[: self.head_bytes], self.text[self.head_bytes : size], self.text[size:]
        return head, payload

    def size(self):
        return None if len(self.text) < self.head_bytes else self.head_bytes + self.length_of(self.text)


class Http1:
    """`connections` clients, each with one request in flight."""

    def __init__(self, proxy, connections):
        self.proxy = proxy
        self.sockets = [socket.create_connection(proxy.address, PATIENCE) for _ in range(connections)]
        for s in self.sockets:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = (
            f"POST /echo HTTP/1.1\r\nHost: {proxy.address[0]}:{proxy.address[1]}\r\nContent-Length: {len(ECHOED)}\r\n"
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode() + ECHOED

    def round(self):
        together = len(self.sockets) > 1
        if together:
            self.proxy.stand_still()
        for s in self.sockets:
            s.sendall(self.request)
        if together:
            self.proxy.go_on()
        for s in self.sockets:
            reply = b""
            while not reply.endswith(b"\r\n\r\n" + ECHOED):
                piece = s.recv(65536)
                if not piece or len(reply) > 65536:
                    raise SystemExit(f"no echo came back: {reply[:500]}")
                reply += piece
            if not reply.startswith(b"HTTP/1.1 200 "):
                raise SystemExit(f"not 200: {reply[:500]}")
        return len(self.sockets)

    def close(self):
        for s in self.sockets:
            s.close()


class Http2:
    """One connection; `streams` requests are written together. Heads as a client with a dynamic table writes them."""

    def __init__(self, proxy, streams):
        self.proxy, self.streams, self.next_id = proxy, streams, 1
        self.socket = socket.create_connection(proxy.address, PATIENCE)
        self.frames = Frames(self.socket, 9, lambda head: int.from_bytes(head[:3], "big"))
        window = self.frame(8, 0, 0, (1 << 30).to_bytes(4, "big"))
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self.frame(4, 0, 0, b"") + window)
        self.head = b"\x83\x86"  # POST, http; then what goes to the dynamic table: path, authority, type, length
        authority = f"{proxy.address[0]}:{proxy.address[1]}".encode()
        for name, value in ((0x44, b"/echo"), (0x41, authority), (0x5F, b"application/octet-stream"), (0x5C, b"256")):
            self.head += bytes([name, len(value)]) + value

    @staticmethod
    def frame(kind, flags, stream, payload):
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

    def round(self):
        out = b""
        for _ in range(self.streams):
            out += self.frame(1, 4, self.next_id, self.head) + self.frame(0, 1, self.next_id, ECHOED)
            self.head = b"\x83\x86\xc1\xc0\xbf\xbe"
            self.next_id += 2
        self.proxy.stand_still()
        self.socket.sendall(out)
        self.proxy.go_on()
        echoed, ended = 0, 0
        while ended < self.streams:
            head, payload = self.frames.take()
            kind, flags = head[3], head[4]
            if kind == 4 and not flags & 1:
                self.socket.sendall(self.frame(4, 1, 0, b""))
            if kind in (3, 7):
                raise SystemExit(f"a stream or the connection was ended: frame {kind} {payload}")
            echoed += len(payload) if kind == 0 else 0
            ended += kind in (0, 1) and flags & 1
        if echoed != self.streams * len(ECHOED):
            raise SystemExit(f"{echoed} bytes were echoed, not {self.streams * len(ECHOED)}")
        return self.streams

    def close(self):
        self.socket.close()


class Link:
    """The proxy's end of a framed link, over its socket; `batch` requests are written together."""

    def __init__(self, replica, shape, batch):
        self.head, self.body, self.expected = shape
        self.batch, self.generation = batch, 1
        self.socket = socket.socket(socket.AF_UNIX)
        self.frames = Frames(self.socket, 20, lambda head: int.from_bytes(head[:4], "little"))
        self.socket.settimeout(PATIENCE)
        self.socket.connect(replica.address)
        features = 2  # replies say how long the loop was busy
        self.socket.sendall(b"\0COLONY1" + frame(HELLO, 0, struct.pack("<III", 1, features, 1 << 16)))
        while self.take()[0] != HELLO:
            pass

    def take(self):
        head, payload = self.frames.take()
        _, stream, head_len, _, kind, flags, _ = struct.unpack("<IIIIBBH", head)
        return kind, stream, flags, head_len, payload

    def round(self):
        payload = self.head + self.body
        streams = {self.generation << 16 | slot: b"" for slot in range(self.batch)}
        self.generation = self.generation % 0xFFFF + 1
        self.socket.sendall(b"".join(frame(REQUEST, s, payload, len(self.head), ENDS) for s in streams))
        left = len(streams)
        while left:
            kind, stream, flags, head_len, text = self.take()
            if kind == REPLY and not re.match(rb"HTTP/1.1 200 ", text):
                raise SystemExit(f"not 200: {text[:500]}")
            if kind in (REPLY, BODY):
                streams[stream] += text[head_len:]
            elif kind == PING:
                self.socket.sendall(frame(PONG, 0, text))
            if kind == END or (kind in (REPLY, BODY) and flags & ENDS):
                left -= 1
        wrong = [text for text in streams.values() if self.expected not in text]
        if wrong:
            raise SystemExit(f"this is no echo: {wrong[0][:500]}")
        return self.batch

    def close(self):
        self.socket.close()


# Name -> how to make the client from what it talks to.
PROXY_SHAPES = {"h1 1": lambda p: Http1(p, 1), "h1 64": lambda p: Http1(p, 64), "h2 32": lambda p: Http2(p, 32)}
REPLICA_SHAPES = {
    f"{name} {batch}": lambda r, shape=shape, batch=batch: Link(r, shape, batch)
    for name, shape in frames().items()
    for batch in BATCHES
}


def drive(client, requests):
    done = 0
    while done < requests:
        done += client.round()
    return done


def each_shape(shapes, actor, requests, measure):
    """measure(shape) gives a function that ends the measurement and answers what it found per request."""
    out = {}
    for shape, client_of in shapes.items():
        client = client_of(actor)
        for _ in range(60):
            client.round()  # pools, buffers and tables have grown
        end = measure(shape)
        out[shape] = end(drive(client, requests))
        client.close()
    return out
