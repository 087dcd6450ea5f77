"""The clients of the soak that are not the load generator: readers that take their time, streams of ModelStreamInfer, WebSockets, floods.
Each is a thread that goes on until it is told to stop, counts what it did and keeps what was wrong. A connection that breaks is
made again and is no fault here: these requests are not idempotent, or wish ill; a wrong byte always is."""

import contextlib
import queue
import random
import socket
import threading
import time

import hostile
import numpy as np
import tritonclient.grpc as triton
from websockets.sync.client import connect


class Client(threading.Thread):
    def __init__(self, address):
        super().__init__(daemon=True)
        host, port = address.rsplit(":", 1)
        self.address, self.target = (host, int(port)), address
        self.done, self.broken, self.wrong = 0, 0, []
        self.stopping = threading.Event()

    def run(self):
        while not self.stopping.is_set():
            try:
                self.once()
            except Exception as e:  # noqa: BLE001 - whatever a client library throws when its server is killed
                self.broken += 1
                self.last = repr(e)
                self.stopping.wait(0.2)

    def stop(self):
        self.stopping.set()
        self.join(30)

    def report(self):
        return {"done": self.done, "broken": self.broken, "wrong": self.wrong[:5]}


class SlowReader(Client):
    """Asks for an echo of a mebibyte and reads 2 KiB of it a second for half a minute."""

    def once(self):
        body = random.randbytes(1 << 20)
        with socket.create_connection(self.address, timeout=10) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.sendall(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(body))
            s.settimeout(0.5)
            sent, got, end = 0, b"", time.monotonic() + 30
            while time.monotonic() < end and not self.stopping.is_set():
                with contextlib.suppress(TimeoutError):  # the echo streams: neither side holds all of it
                    while sent < len(body):
                        sent += s.send(body[sent : sent + 65536])
                with contextlib.suppress(TimeoutError):
                    more = s.recv(2048)
                    if not more:
                        raise ConnectionError("closed")
                    got += more
                self.stopping.wait(1)
        head, _, rest = got.partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 200") and b"chunked" not in head.lower() and not body.startswith(rest):
            self.wrong.append(f"slow reader: {len(rest)} bytes that are not what was sent")
        self.done += 1


class Stream(Client):
    """Twenty messages over one ModelStreamInfer, each answered with its own number, in order."""

    def once(self):
        answers = queue.Queue()
        with triton.InferenceServerClient(self.target) as client:
            client.start_stream(lambda result, error: answers.put((result, error)))
            for _ in range(20):
                number = random.random()
                sent = triton.InferInput("x", [1], "FP64")
                sent.set_data_from_numpy(np.array([number]))
                client.async_stream_infer("echo", [sent])
                result, error = answers.get(timeout=20)
                if error:
                    raise error
                if result.as_numpy("x")[0] != number:
                    self.wrong.append(f"stream: {result.as_numpy('x')[0]} for {number}")
                self.stopping.wait(0.1)
            client.stop_stream()
        self.done += 1


class Messages(Client):
    """Twenty messages over one WebSocket, each of which comes back, in order."""

    def once(self):
        with connect(f"ws://{self.target}/echo", max_size=None, open_timeout=20) as ws:
            for _ in range(20):
                sent = random.randbytes(random.choice([10, 1000, 100_000]))
                ws.send(sent)
                if (got := ws.recv(timeout=20)) != sent:
                    self.wrong.append(f"websocket: {len(got)} bytes for {len(sent)}")
                self.stopping.wait(0.1)
        self.done += 1


class Floods(Client):
    def once(self):
        flood = random.choice(hostile.ALL)
        flood(self.address)
        self.done += 1
        self.stopping.wait(1)
