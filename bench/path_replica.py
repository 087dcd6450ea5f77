"""The replica's half of ./dev bench path: what one request costs the loop of an echo replica. It is started a second time under
callgrind, from a copy of its record, and a client that speaks frames stands for the proxy; so nothing but the replica is counted.
`raw`: 256 bytes; `json`: an inference of one FP32 number over REST; `grpc`: the same by ModelInfer. 1 or 16 in flight."""

import json
import os
import re
import signal
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from bench.common.callgrind import ENVIRONMENT, Callgrind

PATIENCE = 120
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


def shapes():
    raw = b"x" * 256
    infer = b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1234.25]}]}'
    tensor = message(1, b"x") + message(2, b"FP32") + message(3, b"\x01")
    call = message(1, b"echo") + message(5, tensor) + message(7, struct.pack("<f", 1234.25))
    call = b"\0" + len(call).to_bytes(4, "big") + call
    return {
        "raw": (head("/echo", "application/octet-stream", len(raw)) , raw, raw),
        "json": (head("/v2/models/echo/infer", "application/json", len(infer)), infer, b'"data":[1234.25]'),
        "grpc": (head("/inference.GRPCInferenceService/ModelInfer", "application/grpc", len(call)), call,
                 struct.pack("<f", 1234.25)),
    }  # fmt: skip


def frame(kind, stream, payload=b"", head_len=0, flags=0, time=0):
    return struct.pack("<IIIIBBH", len(payload), stream, head_len, time, kind, flags, 0) + payload


class Replica:
    def __init__(self, house, folder, binary, prefix):
        source = next(p for p in (house.data / "run").glob("*/actor.json") if '"role": "replica"' in p.read_text())
        place = Path(tempfile.mkdtemp(prefix="replica-", dir=folder))
        record = json.loads(source.read_text())
        record |= {"id": "bench.replica", "socket": str(place / "sock"), "pid": 0}
        (place / "actor.json").write_text(json.dumps(record))
        self.log = open(place / "log", "wb")
        command = [str(c) for c in (*prefix, binary, "actor", "--dir", place)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=dict(os.environ, **ENVIRONMENT))
        self.address = str(place / "sock")
        try:
            self.wait_until_ready(place)
        except BaseException:
            self.stop()
            raise

    def wait_until_ready(self, place):
        end = time.monotonic() + PATIENCE
        while True:
            try:
                with socket.socket(socket.AF_UNIX) as s:
                    s.settimeout(PATIENCE)
                    s.connect(self.address)
                    s.sendall(b"GET /v2/health/ready HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                    if b" 200 " in s.recv(4096):
                        return
            except OSError:
                pass
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit(f"the replica is not ready: {(place / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
            self.log.close()


class Link:
    """The proxy's end of a framed link, over its socket; `batch` requests are written together."""

    def __init__(self, replica, shape, batch):
        self.head, self.body, self.expected = shape
        self.batch, self.generation, self.text = batch, 1, b""
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(replica.address)
        features = 2  # replies say how long the loop was busy
        self.socket.sendall(b"\0COLONY1" + frame(HELLO, 0, struct.pack("<III", 1, features, 1 << 16)))
        while self.take()[0] != HELLO:
            pass

    def take(self):
        while len(self.text) < 20 or len(self.text) < 20 + int.from_bytes(self.text[:4], "little"):
            piece = self.socket.recv(1 << 18)
            if not piece:
                raise SystemExit("the replica has ended the link")
            self.text += piece
        length, stream, head_len, _, kind, flags, _ = struct.unpack("<IIIIBBH", self.text[:20])
        payload, self.text = self.text[20 : 20 + length], self.text[20 + length :]
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


def count(house, folder, binary, requests):
    """{"replica raw 1": {instructions, allocations}, ...}, per request."""
    callgrind, out = Callgrind(folder), {}
    replica = Replica(house, folder, binary, callgrind.prefix)
    callgrind.pid = replica.process.pid
    try:
        for name, shape in shapes().items():
            for batch in BATCHES:
                link = Link(replica, shape, batch)
                for _ in range(60):
                    link.round()  # pools, buffers and tables have grown
                callgrind.begin()
                done = 0
                while done < requests:
                    done += link.round()
                out[f"replica {name} {batch}"] = callgrind.end(done)
                link.close()
        return out
    finally:
        replica.stop()
