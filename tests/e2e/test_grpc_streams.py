"""gRPC beyond the single call, through the proxy and at a replica's own socket: ModelStreamInfer with many requests in flight,
errors within it, cancellation and deadlines on both sides, back-pressure, replies of trailers only, both versions of reflection."""
import os
import queue
import signal
import threading

import grpc
import h2_wire as h2
import numpy as np
import pytest
from grpc_reflection.v1alpha import reflection_pb2
from running import PATIENCE, SOURCE, colony, echo_app, wait_until
from tritonclient.grpc import service_pb2, service_pb2_grpc

LONG = 10**9  # rounds of the slow model: longer than any test


@pytest.fixture(scope="module")
def server():
    with colony() as c:
        c.apply(echo_app(replicas=1, max_ongoing_requests=100))
        path = os.path.join(SOURCE, "tests/data/onnx/slow.onnx")
        c.apply({"name": "slow", "deployments": [{"name": "model", "runtime": "onnx", "model": {"path": path}, "max_ongoing_requests": 1}]})
        yield c


@pytest.fixture(params=["proxy", "replica"])
def stub(server, request):
    """Of the echo model."""
    where = server.http if request.param == "proxy" else server.replicas("echo")[0]["address"]
    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(where, options=options) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


@pytest.fixture(params=["proxy", "replica"])
def slow(server, request):
    where = server.http if request.param == "proxy" else server.replicas("slow")[0]["address"]
    with grpc.insecure_channel(where) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def request(n, model="echo", values=None):
    values = np.array([n], dtype=np.int64) if values is None else values
    made = service_pb2.ModelInferRequest(model_name=model, id=str(n))
    made.inputs.add(name="x", datatype="INT64", shape=[len(values)])
    made.raw_input_contents.append(values.tobytes())
    return made


def slow_request(rounds):
    made = service_pb2.ModelInferRequest(model_name="slow")
    made.inputs.add(name="rounds", datatype="INT64", shape=[])
    made.inputs.add(name="m", datatype="FP32", shape=[64, 64])
    made.raw_input_contents.extend([np.array(rounds, dtype=np.int64).tobytes(), np.eye(64, dtype=np.float32).tobytes()])
    return made


def number(reply):
    return int(np.frombuffer(reply.infer_response.raw_output_contents[0], dtype=np.int64)[0])


def test_answers_come_in_the_order_of_the_requests(stub):
    replies = list(stub.ModelStreamInfer((request(n) for n in range(2000)), timeout=PATIENCE))
    assert [number(r) for r in replies] == list(range(2000))
    assert [r.infer_response.id for r in replies] == [str(n) for n in range(2000)]


def test_a_request_that_fails_is_answered_and_the_stream_goes_on(stub):
    bad = request(1, model="absent")
    broken = request(2)
    broken.inputs[0].datatype = "FLOAT"
    replies = list(stub.ModelStreamInfer(iter([request(0), bad, broken, request(3)]), timeout=PATIENCE))
    assert [r.error_message == "" for r in replies] == [True, False, False, True]
    assert "absent" in replies[1].error_message and "FLOAT" in replies[2].error_message
    assert number(replies[3]) == 3


def test_many_streams_at_once(stub):
    streams = [stub.ModelStreamInfer(map(request, range(100 * s, 100 * s + 50)), timeout=PATIENCE) for s in range(20)]
    for s, stream in enumerate(streams):
        assert [number(r) for r in stream] == [100 * s + n for n in range(50)]


def test_who_does_not_read_is_not_read_from_and_holds_nobody(stub):
    """1 MiB messages into a stream whose answers are not taken: what is taken stops far below what is offered."""
    offered, total = [], 256
    go = threading.Event()

    def requests():
        for n in range(total):
            offered.append(n)
            yield request(n, values=np.full(128 * 1024, n))

    stream = stub.ModelStreamInfer(requests(), timeout=4 * PATIENCE)
    first = next(stream)
    assert number(first) == 0

    def at_rest():
        before = len(offered)
        go.wait(1)
        return len(offered) == before

    wait_until(at_rest, "the stream stands still")
    assert len(offered) < total // 2
    assert number(next(iter(stub.ModelStreamInfer(iter([request(7)]), timeout=PATIENCE)))) == 7, "others are served"
    assert [number(r) for r in stream] == list(range(1, total))


def answers(slow):
    """Whether a request gets a place; the replica alone refuses at once while all are taken."""
    try:
        return slow.ModelInfer(slow_request(1), timeout=PATIENCE).model_name == "slow"
    except grpc.RpcError as e:
        assert e.code() == grpc.StatusCode.UNAVAILABLE, e
        return False


def test_a_cancelled_stream_stops_its_work(slow):
    stream = slow.ModelStreamInfer(iter([slow_request(1), slow_request(LONG), slow_request(LONG)]))
    assert next(stream).error_message == ""
    stream.cancel()
    wait_until(lambda: answers(slow), "its one slot free")


def test_a_deadline_ends_a_stream_and_its_work(slow):
    stream = slow.ModelStreamInfer(iter([slow_request(1), slow_request(LONG)]), timeout=2)
    with pytest.raises(grpc.RpcError) as e:
        list(stream)
    assert e.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    wait_until(lambda: answers(slow), "its one slot free")


def test_a_replica_that_dies_ends_its_streams_with_an_error(server):
    server.apply(echo_app("mortal", replicas=1))
    with grpc.insecure_channel(server.http) as channel:
        asks = queue.Queue()
        stream = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(iter(asks.get, None), timeout=PATIENCE)
        asks.put(request(1, model="mortal"))
        assert number(next(stream)) == 1
        os.kill(server.replicas("mortal")[0]["pid"], signal.SIGKILL)
        with pytest.raises(grpc.RpcError) as e:
            next(stream)
        assert e.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN), e.value
        asks.put(None)
    server.cli("delete", "mortal")


def test_an_error_before_any_message_is_one_header_block(server):
    """Trailers-only, as PROTOCOL-HTTP2.md has it: status and content type in one HEADERS that ends the stream."""
    for where in (server.http, server.replicas("echo")[0]["address"].removeprefix("unix:")):
        with h2.Peer(where) as peer:
            fields = h2.field("content-type", "application/grpc") + h2.field("te", "trailers")
            peer.send(h2.request(1, "/inference.GRPCInferenceService/Nothing", extra=fields))
            kind, flags = next((kind, flags) for kind, flags, stream, _ in peer.frames() if stream == 1)
            assert kind == h2.HEADERS and flags & h2.END_STREAM


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_both_versions_of_reflection(server, version):
    for where in (server.http, server.replicas("echo")[0]["address"]):
        with grpc.insecure_channel(where) as channel:
            info = channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
                                         request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
                                         response_deserializer=reflection_pb2.ServerReflectionResponse.FromString)
            asks = [reflection_pb2.ServerReflectionRequest(list_services=""),
                    reflection_pb2.ServerReflectionRequest(file_containing_symbol="inference.GRPCInferenceService"),
                    reflection_pb2.ServerReflectionRequest(file_by_filename="absent.proto")]
            services, file, absent = info(iter(asks), timeout=PATIENCE)
            assert f"grpc.reflection.{version}.ServerReflection" in [s.name for s in services.list_services_response.service]
            assert len(file.file_descriptor_response.file_descriptor_proto) >= 1
            assert absent.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
