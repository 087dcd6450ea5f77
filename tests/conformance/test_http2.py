"""HTTP/2 and gRPC as other people's software speaks them: h2spec's cases, h2load's load, and the gRPC library with its
health and reflection clients, against tests/processes/echo_server."""

import os
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVER = Path(os.environ["COLONY_BUILD_BINARY"]).parent / "echo_server"
H2SPEC = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "colony" / "third_party" / "h2spec"


class Server:
    def __init__(self, *arguments):
        self.process = subprocess.Popen([SERVER, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("listening "), line + self.process.stderr.read()
        self.address = line.split()[1]
        self.port = int(self.address.rsplit(":", 1)[1])

    def stop(self):
        """Drains the server; returns what it said, which must be nothing: a sanitizer would."""
        self.process.send_signal(signal.SIGTERM)
        try:
            _, errors = self.process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        assert self.process.returncode == 0, errors
        assert errors == ""


@pytest.fixture()
def server():
    s = Server()
    yield s
    s.stop()


@pytest.fixture()
def channel(server):
    with grpc.insecure_channel(server.address) as c:
        yield c


def unary(channel, method):
    return channel.unary_unary(f"/echo.Echo/{method}", request_serializer=None, response_deserializer=None)


def h2spec(server):
    run = subprocess.run([H2SPEC, "--strict", "-h", "127.0.0.1", "-p", str(server.port), "-o", "5"], capture_output=True, text=True)
    summary = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", run.stdout)
    assert summary, run.stdout + run.stderr
    return [int(n) for n in summary.groups()], run.stdout


@pytest.mark.parametrize("arguments", [["--http2"], []], ids=["http2", "shared port"])
def test_every_case_of_h2spec_passes(arguments):
    s = Server(*arguments)
    (total, passed, skipped, failed), report = h2spec(s)
    s.stop()
    assert total >= 145 and (passed, skipped, failed) == (total, 0, 0), report[report.find("Failures:"):]


def test_what_is_no_preface_but_names_a_protocol_is_answered_in_http1(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as s:
        s.sendall(b"GET / HTTQ/1.1\r\n\r\n")
        reply = b""
        while piece := s.recv(4096):
            reply += piece
    assert reply.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("path, extra", [("/", ["-d"]), ("/big/300000", []), ("/stream", ["-d"])])
def test_h2load_gets_every_reply(server, tmp_path, path, extra):
    body = tmp_path / "body"
    body.write_bytes(os.urandom(5000))
    count = 500 if "big" in path else 3000
    command = ["h2load", "-n", str(count), "-c", "5", "-m", "20"] + (extra and [*extra, str(body)])
    out = subprocess.run([*command, f"http://{server.address}{path}"], capture_output=True, text=True, timeout=120).stdout
    assert f"{count} succeeded, 0 failed, 0 errored, 0 timeout" in out, out
    assert f"status codes: {count} 2xx" in out, out


def test_a_unary_call_carries_message_and_metadata(channel):
    reply, call = unary(channel, "Unary").with_call(b"hello", metadata=[("x-tag", "t1")], timeout=10)
    assert reply == b"hello"
    assert ("x-tag", "t1") in call.initial_metadata()
    assert ("x-tag-end", "t1") in call.trailing_metadata()


def test_large_and_empty_messages(server):
    with grpc.insecure_channel(server.address, options=[("grpc.max_receive_message_length", -1)]) as channel:
        big = os.urandom(20 << 20)
        assert unary(channel, "Unary")(big, timeout=60) == big
        assert unary(channel, "Unary")(b"", timeout=10) == b""


def test_an_error_keeps_its_code_and_text(channel):
    with pytest.raises(grpc.RpcError) as error:
        unary(channel, "Fail")(b"", timeout=10)
    assert error.value.code() == grpc.StatusCode.NOT_FOUND
    assert error.value.details() == "nothing here: 100% of äpfel\n"


def test_an_unknown_method_is_unimplemented(channel):
    with pytest.raises(grpc.RpcError) as error:
        unary(channel, "Nothing")(b"", timeout=10)
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert unary(channel, "Unary")(b"still here", timeout=10) == b"still here"


@pytest.mark.parametrize("kind", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_calls_and_streams(channel, kind):
    for message in (b"", b"x" * 10000, os.urandom(100_000)):
        assert unary(channel, "Unary")(message, timeout=30, compression=kind) == message
    stream = channel.stream_stream("/echo.Echo/Stream", request_serializer=None, response_deserializer=None)
    sent = [b"%d" % n * 1000 for n in range(20)]
    assert list(stream(iter(sent), timeout=30, compression=kind)) == sent


def test_a_deadline_and_a_cancellation_end_the_call(channel):
    start = time.monotonic()
    with pytest.raises(grpc.RpcError) as error:
        unary(channel, "Slow")(b"", timeout=0.3)
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - start < 5
    future = unary(channel, "Slow").future(b"")
    future.cancel()
    assert unary(channel, "Unary")(b"next", timeout=10) == b"next"


def test_a_bidirectional_stream_answers_as_it_goes(channel):
    stream = channel.stream_stream("/echo.Echo/Stream", request_serializer=None, response_deserializer=None)
    turn = threading.Semaphore(1)

    def requests():
        for i in range(50):
            turn.acquire()
            yield b"%d" % i * 1000

    seen = 0
    for i, reply in enumerate(stream(requests(), timeout=60)):
        assert reply == b"%d" % i * 1000
        seen += 1
        turn.release()
    assert seen == 50


def test_many_calls_at_once(channel):
    call = unary(channel, "Unary")
    futures = [call.future(b"%d" % i, timeout=60) for i in range(2000)]
    assert [f.result() for f in futures] == [b"%d" % i for i in range(2000)]


def test_health_is_told_and_watched(server):
    with grpc.insecure_channel(server.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        serving = health_pb2.HealthCheckResponse.SERVING
        assert stub.Check(health_pb2.HealthCheckRequest(), timeout=10).status == serving
        assert stub.Check(health_pb2.HealthCheckRequest(service="echo.Echo"), timeout=10).status == serving
        with pytest.raises(grpc.RpcError) as error:
            stub.Check(health_pb2.HealthCheckRequest(service="no.Such"), timeout=10)
        assert error.value.code() == grpc.StatusCode.NOT_FOUND
        watch = stub.Watch(health_pb2.HealthCheckRequest(service="echo.Echo"))
        assert next(watch).status == serving
        server.process.send_signal(signal.SIGTERM)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()


def test_reflection_gives_the_descriptors(channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    services = database.get_services()
    assert {"echo.Echo", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection"} <= set(services)
    file = database.FindFileContainingSymbol("grpc.health.v1.Health")
    assert file.service[0].method[0].name == "Check"
    assert database.FindFileByName(file.name).message_type[0].name == "HealthCheckRequest"
    with pytest.raises(KeyError):
        database.FindFileContainingSymbol("no.Such")


def test_drain_lets_running_calls_finish(server):
    with grpc.insecure_channel(server.address) as channel:
        stream = channel.stream_stream("/echo.Echo/Stream", request_serializer=None, response_deserializer=None)
        go = threading.Event()

        def requests():
            yield b"one"
            assert go.wait(30)
            yield b"two"

        replies = stream(requests(), timeout=60)
        assert next(replies) == b"one"
        server.process.send_signal(signal.SIGTERM)
        go.set()
        assert list(replies) == [b"two"]
