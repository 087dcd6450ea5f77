"""Clients that wish Colony ill, each of them a function of (host, port) that takes a few seconds and gives up by itself: what a
bounded server survives while everybody else is served. None of them judges the answer; the rest of the soak does."""

import contextlib
import os
import socket
import struct
import time

PATIENCE = 5.0  # seconds that one of them may take on one socket
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
POST = b"\x83\x86\x84\x41\x01a"  # HPACK: :method POST, :scheme http, :path /, :authority a


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def dial(address):
    s = socket.create_connection(address, timeout=PATIENCE)
    s.settimeout(PATIENCE)
    return s


def push(address, pieces):
    """Sends pieces until the server closes, stops reading or they are through; reads nothing."""
    with contextlib.suppress(OSError), dial(address) as s:
        end = time.monotonic() + PATIENCE
        for piece in pieces:
            s.sendall(piece)
            if time.monotonic() > end:
                return


def connections(address):
    """Three hundred connections at once, half of them reset."""
    held = []
    with contextlib.suppress(OSError):
        for _ in range(300):
            held.append(dial(address))
    for i, s in enumerate(held):
        if i % 2:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()


def slow_heads(address):
    """Forty heads that arrive a byte at a time and never end."""
    held = []
    with contextlib.suppress(OSError):
        for _ in range(40):
            held.append(dial(address))
            held[-1].sendall(b"POST /echo HTTP/1.1\r\nhost: a\r\nx-")
    for _ in range(8):
        for s in held:
            with contextlib.suppress(OSError):
                s.sendall(b"a")
        time.sleep(0.5)
    for s in held:
        s.close()


def pings(address):
    push(address, [PREFACE] + [frame(6, 0, 0, b"12345678") * 500] * 100)


def settings(address):
    push(address, [PREFACE] + [frame(4, 0, 0, struct.pack(">HI", 4, 65535)) * 500] * 100)


def rapid_reset(address):
    def pieces():
        yield PREFACE
        for first in range(1, 20000, 200):
            yield b"".join(
                frame(1, 5, s, POST) + frame(3, 0, s, struct.pack(">I", 8)) for s in range(first, first + 200, 2)
            )

    push(address, pieces())


def continuations(address):
    push(address, [PREFACE, frame(1, 0, 1, POST)] + [frame(9, 0, 1, b"\x40\x01a\x01b" * 3000)] * 200)


def empty_data(address):
    push(address, [PREFACE, frame(1, 4, 1, POST)] + [frame(0, 0, 1) * 500] * 100)


def endless_head(address):
    push(address, [b"GET / HTTP/1.1\r\n"] + [b"x-a: " + b"b" * 4096 + b"\r\n"] * 2000)


def noise(address):
    push(address, [os.urandom(4096)] * 20)


def half_bodies(address):
    """Bodies that stop in the middle and whose client then just stays."""
    held = []
    with contextlib.suppress(OSError):
        for _ in range(30):
            held.append(dial(address))
            held[-1].sendall(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n" + b"x" * 50000)
    time.sleep(2)
    for s in held:
        s.close()


ALL = [
    connections,
    slow_heads,
    pings,
    settings,
    rapid_reset,
    continuations,
    empty_data,
    endless_head,
    noise,
    half_bodies,
]
