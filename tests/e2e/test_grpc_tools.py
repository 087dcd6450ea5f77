"""What other people's tools see of a running colony: grpcio (health, reflection, deadlines, cancel, metadata), h2load, curl, and
plain sockets for what passes through untouched."""
import contextlib
import json
import os
import re
import socket
import subprocess
import threading

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from running import PATIENCE, SOURCE, colony, echo_app, wait_until
from tritonclient.grpc import service_pb2, service_pb2_grpc

SERVING, UNKNOWN = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LONG = 10**9  # rounds of the slow model: longer than any test


def slow_app(**more):
    path = os.path.join(SOURCE, "tests/data/onnx/slow.onnx")
    return {"name": "slow", "deployments": [{"name": "model", "runtime": "onnx", "model": {"path": path}, "max_ongoing_requests": 1, **more}]}


@pytest.fixture(scope="module")
def server():
    with colony() as c:
        c.apply(echo_app(replicas=2, max_ongoing_requests=100))
        c.apply({"name": "deep", "route_prefix": "/echo/deep", "deployments": [{"name": "main", "runtime": "echo"}]})
        c.apply(echo_app("tight", replicas=1, max_ongoing_requests=1, max_queued_requests=1))
        c.apply(slow_app())
        yield c


@pytest.fixture
def channel(server):
    with grpc.insecure_channel(server.http) as made:
        yield made


def infer_request(model="echo", values=(1, 2)):
    request = service_pb2.ModelInferRequest(model_name=model, id="5")
    request.inputs.add(name="x", datatype="INT32", shape=[len(values)])
    request.raw_input_contents.append(np.array(values, dtype=np.int32).tobytes())
    return request


def slow_request(rounds=LONG):
    request = service_pb2.ModelInferRequest(model_name="slow")
    request.inputs.add(name="rounds", datatype="INT64", shape=[])
    request.inputs.add(name="m", datatype="FP32", shape=[64, 64])
    request.raw_input_contents.extend([np.array(rounds, dtype=np.int64).tobytes(), np.eye(64, dtype=np.float32).tobytes()])
    return request


# ---- gRPC ----
def test_health_answers_for_the_server_and_each_model(channel):
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "inference.GRPCInferenceService", "echo", "slow"):
        assert health.Check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE).status == SERVING
    with pytest.raises(grpc.RpcError) as e:
        health.Check(health_pb2.HealthCheckRequest(service="absent"), timeout=PATIENCE)
    assert e.value.code() == grpc.StatusCode.NOT_FOUND


def test_health_watch_sees_a_model_come_and_go(server, channel):
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="coming"), timeout=PATIENCE)
    assert next(watch).status == UNKNOWN
    server.apply(echo_app("coming", replicas=1))
    assert next(watch).status == SERVING
    server.cli("delete", "coming")
    assert next(watch).status == UNKNOWN
    watch.cancel()


def test_reflection_lists_and_describes_the_inference_service(channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    assert {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= set(database.get_services())
    service = DescriptorPool(database).FindServiceByName("inference.GRPCInferenceService")
    methods = {m.name: m for m in service.methods}
    assert {"ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer", "ModelStreamInfer",
            "ModelConfig", "ModelStatistics", "RepositoryIndex"} <= set(methods)
    assert [f.name for f in methods["ModelInfer"].input_type.fields][:3] == ["model_name", "model_version", "id"]
    assert methods["ModelStreamInfer"].output_type.full_name == "inference.ModelStreamInferResponse"


def test_a_deadline_ends_the_call_and_the_work(channel):
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    for _ in range(2):  # one slot: the second call could not begin if the first went on
        with pytest.raises(grpc.RpcError) as e:
            stub.ModelInfer(slow_request(), timeout=0.5)
        assert e.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert stub.ModelInfer(slow_request(1), timeout=PATIENCE).model_name == "slow"


def test_a_cancelled_call_frees_its_slot(server, channel):
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    call = stub.ModelInfer.future(slow_request())
    assert not call.done() and call.cancel()
    assert call.code() == grpc.StatusCode.CANCELLED
    assert stub.ModelInfer(slow_request(1), timeout=PATIENCE).model_name == "slow"


def test_request_id_and_trace_travel_as_metadata(channel):
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    reply, call = stub.ModelInfer.with_call(infer_request(), metadata=(("x-request-id", "rpc-7"), ("traceparent", TRACE)))
    metadata = dict(call.initial_metadata())
    assert reply.id == "5" and metadata["x-request-id"] == "rpc-7"
    assert metadata["traceparent"].split("-")[1] == TRACE.split("-")[1]
    _, call = stub.ModelInfer.with_call(infer_request())
    metadata = dict(call.initial_metadata())
    assert len(metadata["x-request-id"]) == 32 and len(metadata["traceparent"]) == 55


@pytest.mark.parametrize("method", ["/inference.GRPCInferenceService/Nothing", "/inference.GRPCInferenceService/TraceSetting",
                                    "/inference.GRPCInferenceService/RepositoryModelLoad", "/grpc.health.v1.Health/Nothing"])
def test_a_method_that_is_not_there_is_unimplemented(channel, method):
    with pytest.raises(grpc.RpcError) as e:
        channel.unary_unary(method)(b"", timeout=PATIENCE)
    assert e.value.code() == grpc.StatusCode.UNIMPLEMENTED and method.rpartition("/")[2] in e.value.details()


def test_a_service_that_is_not_there_is_answered_with_what_exists(channel):
    with pytest.raises(grpc.RpcError) as e:
        channel.unary_unary("/no.such.Service/Method")(b"", timeout=PATIENCE)
    assert e.value.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED) and "/no.such.Service" in e.value.details()


def test_many_calls_at_once_on_one_connection(channel):
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    calls = [stub.ModelInfer.future(infer_request(values=(n,)), timeout=PATIENCE) for n in range(500)]
    assert [int(np.frombuffer(c.result().raw_output_contents[0], dtype=np.int32)[0]) for c in calls] == list(range(500))


# ---- h2load ----
@pytest.mark.parametrize("arguments", [["-n", "4000", "-c", "8", "-m", "20"], ["-n", "2000", "-c", "4", "--h1"],
                                       ["-n", "1000", "-c", "2", "-m", "50", "-d", "BODY"]], ids=["h2", "h1", "h2-post"])
def test_h2load_gets_nothing_but_2xx(server, tmp_path, arguments):
    (tmp_path / "BODY").write_bytes(b"x" * 3000)
    done = subprocess.run(["h2load", *arguments, f"http://{server.http}/echo"], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    wanted = arguments[1]
    assert done.returncode == 0 and f"status codes: {wanted} 2xx, 0 3xx, 0 4xx, 0 5xx" in done.stdout, done.stdout
    assert f"{wanted} succeeded, 0 failed, 0 errored, 0 timeout" in done.stdout


# ---- curl ----
def curl(*arguments, stdin=None):
    """(status, head, body)"""
    done = subprocess.run(["curl", "-s", "-i", "--max-time", "60", *arguments], capture_output=True, input=stdin, check=True)
    head, _, body = done.stdout.rpartition(b"\r\n\r\n") if done.stdout.endswith(b"\r\n\r\n") else done.stdout.partition(b"\r\n\r\n")
    while body.startswith(b"HTTP/"):  # an interim answer came first
        head, _, body = body.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode().lower(), body


TENSOR = json.dumps({"id": "7", "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.5, 2]}]})


def test_a_replica_answers_on_its_own_socket(server):
    path = server.replicas("echo")[0]["address"].removeprefix("unix:")
    for version in ("--http1.1", "--http2-prior-knowledge"):
        status, _, body = curl(version, "--unix-socket", path, "http://replica/v2/models/echo/infer", "-d", TENSOR)
        assert status == 200 and json.loads(body)["outputs"][0]["data"] == [1.5, 2.0]
        assert curl(version, "--unix-socket", path, "http://replica/any", "-d", "raw")[2] == b"raw"
        assert json.loads(curl(version, "--unix-socket", path, "http://replica/v2")[2])["name"] == "colony"


@pytest.mark.parametrize("version", ["--http1.0", "--http1.1", "--http2-prior-knowledge"])
def test_curl_speaks_every_version_on_the_one_port(server, version):
    base = f"http://{server.http}"
    status, head, body = curl(version, f"{base}/v2/models/echo/infer", "-d", TENSOR, "-H", "x-request-id: curl-1", "-H", f"traceparent: {TRACE}")
    assert status == 200 and json.loads(body)["id"] == "7"
    assert "x-request-id: curl-1" in head and TRACE.split("-")[1] in head
    status, head, body = curl(version, f"{base}/echo", "-d", "hello")
    assert (status, body) == (200, b"hello") and re.search(r"x-request-id: [0-9a-f]{32}", head) and "traceparent: 00-" in head
    assert curl(version, f"{base}/-/healthz")[2] == b"success"
    assert json.loads(curl(version, f"{base}/-/routes")[2])["/echo/deep"] == "deep"
    assert {"echo", "slow"} <= set(json.loads(curl(version, f"{base}/v2/models")[2])["models"])
    assert json.loads(curl(version, f"{base}/v2")[2])["name"] == "colony"
    assert curl(version, f"{base}/v1/models/echo:predict", "-d", '{"instances": [[1, 2], [3, 4]]}')[2] == b'{"predictions":[[1,2],[3,4]]}'
    assert json.loads(curl(version, f"{base}/v1/models/echo")[2])["ready"] is True
    status, head, body = curl(version, f"{base}/nowhere")
    assert status == 404 and "/nowhere" in json.loads(body)["error"] and "/echo" in json.loads(body)["error"] and "x-request-id" in head


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_a_large_body_without_a_length_streams_both_ways(server, version):
    body = os.urandom(20 << 20)
    status, _, got = curl(version, f"http://{server.http}/echo", "-X", "POST", "-T", "-", stdin=body)
    assert status == 200 and got == body


# ---- what passes through untouched ----
def seen(server, method, target, headers=(), body=b""):
    """The head as the replica got it, lines of the proxy apart, through a plain socket."""
    head = f"{method} {target} HTTP/1.1\r\nHost: somewhere:1\r\n" + "".join(f"{h}\r\n" for h in headers)
    with connect(server) as s:
        s.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)
        reply = read_all(s)
    status, _, rest = reply.partition(b"\r\n")
    assert b" 200 " in status, reply[:500]
    lines = rest.partition(b"\r\n\r\n")[2].decode().split("\r\n")
    added = ("x-request-id:", "traceparent:", "x-forwarded-")
    return lines[0], [line for line in lines[1:] if line and not line.lower().startswith(added)]


def connect(server, timeout=PATIENCE):
    host, port = server.http.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=timeout)


def read_all(s):
    parts = []
    while part := s.recv(65536):
        parts.append(part)
    return b"".join(parts)


def read_until(s, end):
    got = b""
    while end not in got:
        part = s.recv(65536)
        assert part, f"closed after {got}"
        got += part
    return got


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_method_path_query_and_headers_reach_the_replica_as_they_were(server, method):
    headers = ["X-Twice: 1", "x-twice: 2", "Cookie: a=b; c=\"d\"", "Accept: */*", "X-Empty:", "X-Utf: \u00e9"]
    line, got = seen(server, method, "/echo//a/../%7Eb%2Fc;d=1,2?show=head", headers)
    assert line == f"{method} /echo//a/../%7Eb%2Fc;d=1,2?show=head HTTP/1.1"
    assert [g.rstrip() for g in got if not g.lower().startswith("connection")] == ["Host: somewhere:1", *headers]


def test_the_longest_prefix_wins_at_a_segments_end(server):
    app = {"/echo": "echo", "/echo/x": "echo", "/echo/deep": "deep", "/echo/deep/x": "deep", "/echo/deeper": "echo"}
    before = {name: metric(server, "colony_router_requests_total", name) for name in ("echo", "deep")}
    for path in app:
        assert server.request("POST", path, b"x")[2] == b"x"

    def counted():
        return {name: metric(server, "colony_router_requests_total", name) - before[name] for name in before} == {"echo": 3, "deep": 2}

    wait_until(counted, "each app has counted its own requests")
    assert server.request("GET", "/ech")[0] == 404
    assert server.request("GET", "/echodeep")[0] == 404


def metric(server, name, app):
    text = server.call("GET", "/metrics")[1]
    lines = [line for line in text.splitlines() if line.startswith(name + "{") and f'application="{app}"' in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def test_chunks_go_out_while_others_still_come_in_and_trailers_follow(server):
    with connect(server) as s:
        s.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n3\r\none\r\n")
        assert b" 200 OK" in read_until(s, b"3\r\none\r\n")
        for word in (b"two", b"six"):
            s.sendall(b"3\r\n" + word + b"\r\n")
            read_until(s, b"3\r\n" + word + b"\r\n")
        s.sendall(b"0\r\nx-sum: 12\r\n\r\n")
        assert read_until(s, b"\r\n\r\n").lower().endswith(b"0\r\nx-sum: 12\r\n\r\n")
        s.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nnext")
        assert read_until(s, b"next").startswith(b"HTTP/1.1 200")


def test_pipelined_requests_are_answered_in_order(server):
    with connect(server) as s:
        s.sendall(b"".join(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n%03d" % n for n in range(100)))
        got = b""
        while len(bodies := re.findall(rb"\r\n\r\n(\d{3})", got)) < 100:
            part = s.recv(65536)
            assert part, got[-500:]
            got += part
    assert bodies == [b"%03d" % n for n in range(100)]


# ---- limits ----
@contextlib.contextmanager
def held_request(server, app):
    """A request that is in service as long as the block: its body does not end."""
    with connect(server) as s:
        s.sendall(f"POST /{app} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n".encode())
        read_until(s, b"3\r\none\r\n")
        yield s


def test_a_full_queue_answers_503_with_retry_after(server):
    with held_request(server, "tight") as first, connect(server) as second:
        second.sendall(b"POST /tight HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\ntwo")
        wait_until(lambda: metric(server, "colony_router_queued_requests", "tight") == 1, "the second request waits")
        status, headers, raw = server.request("POST", "/tight", b"x")
        assert status == 503 and int(headers["retry-after"]) >= 1
        reply = json.loads(raw)
        assert reply["reason"] == "queue_full" and reply["code"] == "UNAVAILABLE" and "tight" in reply["error"]
        with grpc.insecure_channel(server.http) as channel, pytest.raises(grpc.RpcError) as e:
            service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(infer_request("tight"), timeout=PATIENCE)
        assert e.value.code() == grpc.StatusCode.UNAVAILABLE and "queue" in e.value.details()
        first.sendall(b"0\r\n\r\n")
        assert read_until(second, b"two").startswith(b"HTTP/1.1 200")
    assert server.request("POST", "/tight", b"free")[2] == b"free"


def test_a_client_that_goes_away_frees_its_slot(server):
    for _ in range(5):
        with held_request(server, "tight"):
            pass  # the connection is closed in the middle of its body
        assert server.request("POST", "/tight", b"free")[2] == b"free"


def test_a_client_that_goes_away_ends_the_run_of_its_model(server):
    body = json.dumps({"inputs": [{"name": "rounds", "datatype": "INT64", "shape": [], "data": [LONG]},
                                  {"name": "m", "datatype": "FP32", "shape": [64, 64], "data": [0] * 4096}]}).encode()
    with connect(server) as s:
        s.sendall(f"POST /v2/models/slow/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        wait_until(lambda: metric(server, "colony_router_ongoing_requests", "slow") > 0, "the request is in service")
    with grpc.insecure_channel(server.http) as channel:
        assert service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(slow_request(1), timeout=PATIENCE).model_name == "slow"


def test_clients_that_break_off_at_any_byte_do_no_harm(server):
    whole = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    for end in range(len(whole)):
        with connect(server) as s:
            s.sendall(whole[:end])
    threads = [threading.Thread(target=lambda: server.request("POST", "/echo", b"x")) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(PATIENCE)
    assert server.echo()[2] == b"hello"
