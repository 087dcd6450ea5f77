"""A replica's socket as tritonclient, curl, grpcio and perf_analyzer speak to it."""

import asyncio
import json
import os
import queue
import subprocess
from pathlib import Path

import grpc
import numpy as np
import pytest
import tritonclient.grpc as grpcclient
import tritonclient.grpc.aio as grpcaio
import tritonclient.http as httpclient
import tritonclient.http.aio as httpaio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from replica_process import SOURCE, Replica
from tritonclient.utils import InferenceServerException

TYPES = {"BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64, "INT8": np.int8,
         "INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "FP16": np.float16, "FP32": np.float32, "FP64": np.float64,
         "BYTES": np.object_}
PERF = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "colony/third_party/perf_analyzer"


def values(datatype):
    if datatype == "BYTES":
        return np.array([[b"a", b""], ["é".encode(), b"zz"]], dtype=np.object_)
    return np.array([[1, 0], [0, 1]]).astype(TYPES[datatype])


@pytest.fixture(scope="module")
def echo():
    r = Replica({"name": "echo", "runtime": "echo", "max_ongoing_requests": 100}, "echo")
    assert r.state.startswith("READY"), r.state
    yield r
    r.stop()


@pytest.fixture(scope="module")
def identity():
    names = ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "fp16", "bf16", "fp32", "fp64", "bytes"]
    models = [{"name": n, "path": str(SOURCE / f"tests/data/onnx/identity_{n}.onnx")} for n in names]
    r = Replica({"name": "many", "runtime": "onnx", "models": models, "max_ongoing_requests": 100}, *names)
    assert r.state.startswith("READY"), r.state
    yield r
    r.stop()


@pytest.mark.parametrize("datatype", TYPES)
@pytest.mark.parametrize("binary", [True, False])
def test_every_datatype_comes_back_over_http(identity, datatype, binary):
    if datatype == "FP16" and not binary:
        return  # has no JSON form; that it is refused is checked below
    client = httpclient.InferenceServerClient(identity.address)
    data = values(datatype)
    tensor = httpclient.InferInput("x", data.shape, datatype)
    tensor.set_data_from_numpy(data, binary_data=binary)
    result = client.infer(datatype.lower(), [tensor], outputs=[httpclient.InferRequestedOutput("y", binary_data=binary)], request_id="7")
    got = result.as_numpy("y")
    if datatype == "BYTES" and not binary:
        got = np.array([v if isinstance(v, bytes) else v.encode() for v in got.flatten()], dtype=np.object_).reshape(2, 2)
    assert (got == data).all() and result.get_response()["id"] == "7"


@pytest.mark.parametrize("datatype", TYPES)
def test_every_datatype_comes_back_over_grpc(identity, datatype):
    client = grpcclient.InferenceServerClient(identity.address)
    data = values(datatype)
    tensor = grpcclient.InferInput("x", data.shape, datatype)
    tensor.set_data_from_numpy(data)
    result = client.infer(datatype.lower(), [tensor], request_id="8")
    assert (result.as_numpy("y") == data).all() and result.get_response().id == "8"


def test_half_precision_is_refused_as_json_with_the_way_out(identity):
    request = {"inputs": [{"name": "x", "datatype": "FP16", "shape": [1, 2], "data": [1, 2]}]}
    status, body = identity.curl("/v2/models/fp16/infer", "-d", json.dumps(request))
    assert status == 400 and b"binary_data_size" in body


def test_nan_and_infinity_survive_json(echo):
    client = httpclient.InferenceServerClient(echo.address)
    tensor = httpclient.InferInput("x", [3], "FP32")
    tensor.set_data_from_numpy(np.array([np.nan, np.inf, -np.inf], dtype=np.float32), binary_data=False)
    got = client.infer("echo", [tensor], outputs=[httpclient.InferRequestedOutput("x", binary_data=False)]).as_numpy("x")
    assert np.isnan(got[0]) and got[1] == np.inf and got[2] == -np.inf


def test_what_clients_ask_about_server_and_models(identity):
    http = httpclient.InferenceServerClient(identity.address)
    rpc = grpcclient.InferenceServerClient(identity.address)
    for client in (http, rpc):
        assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("int8")
        assert not client.is_model_ready("absent")
    assert http.get_server_metadata()["name"] == rpc.get_server_metadata().name == "colony"
    assert http.get_model_metadata("bytes")["inputs"] == [{"name": "x", "datatype": "BYTES", "shape": [-1, 2]}]
    assert rpc.get_model_metadata("bytes").inputs[0].shape == [-1, 2]
    assert http.get_model_config("bytes")["input"][0]["data_type"] == "TYPE_STRING"
    assert rpc.get_model_config("bytes", as_json=True)["config"]["input"][0]["data_type"] == "TYPE_STRING"
    assert len(http.get_model_repository_index()) == len(rpc.get_model_repository_index().models) == 14
    assert http.get_inference_statistics("int8")["model_stats"][0]["name"] == "int8"
    assert rpc.get_inference_statistics("int8").model_stats[0].name == "int8"
    assert len(rpc.get_inference_statistics().model_stats) == 14


def test_errors_reach_the_client_with_their_words(identity):
    http = httpclient.InferenceServerClient(identity.address)
    rpc = grpcclient.InferenceServerClient(identity.address)
    for module, client in ((httpclient, http), (grpcclient, rpc)):
        tensor = module.InferInput("x", [1, 3], "INT8")
        tensor.set_data_from_numpy(np.zeros((1, 3), dtype=np.int8))
        with pytest.raises(InferenceServerException, match=r"input 'x' has the shape \[1,3\], expected \[-1,2\]"):
            client.infer("int8", [tensor])
        with pytest.raises(InferenceServerException, match="model 'absent' is not here; there are: bool, uint8"):
            client.infer("absent", [tensor])


def test_streams_answer_in_order_and_survive_an_error(echo):
    client = grpcclient.InferenceServerClient(echo.address)
    answers = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))

    def send(model, n):
        tensor = grpcclient.InferInput("x", [1], "INT32")
        tensor.set_data_from_numpy(np.array([n], dtype=np.int32))
        client.async_stream_infer(model, [tensor], request_id=str(n))

    for n in range(200):
        send("absent" if n == 100 else "echo", n)
    for n in range(200):
        result, error = answers.get(timeout=60)
        if n == 100:
            assert "model 'absent' is not here" in str(error)
        else:
            assert error is None and result.as_numpy("x")[0] == n
    client.stop_stream()


def test_asynchronous_clients(echo):
    async def both():
        async with grpcaio.InferenceServerClient(echo.address) as rpc, httpaio.InferenceServerClient(echo.address) as http:
            calls = []
            for n in range(40):
                for module, client in ((grpcclient, rpc), (httpclient, http)):
                    tensor = module.InferInput("x", [1], "INT64")
                    tensor.set_data_from_numpy(np.array([n], dtype=np.int64))
                    calls.append(client.infer("echo", [tensor]))
            return [int(r.as_numpy("x")[0]) for r in await asyncio.gather(*calls)]

    assert asyncio.run(both()) == [n for n in range(40) for _ in range(2)]


def test_health_and_reflection(echo):
    with grpc.insecure_channel(echo.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "inference.GRPCInferenceService"):
            assert health.Check(health_pb2.HealthCheckRequest(service=service)).status == health_pb2.HealthCheckResponse.SERVING
        database = ProtoReflectionDescriptorDatabase(channel)
        assert "inference.GRPCInferenceService" in database.get_services()
        assert database.FindFileContainingSymbol("inference.ModelInferRequest")


def test_curl_over_the_unix_socket(echo):
    request = {"id": "7", "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.5, 2]}]}
    status, body = echo.curl("/v2/models/echo/infer", "-d", json.dumps(request))
    assert status == 200
    assert json.loads(body) == {"model_name": "echo", "model_version": "1", "id": "7",
                                "outputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.5, 2.0]}]}
    assert echo.curl("/any/path", "-d", "raw") == (200, b"raw")
    assert echo.curl("/v1/models/echo:predict", "-d", '{"instances": [[1, 2], [3, 4]]}') == (200, b'{"predictions":[[1,2],[3,4]]}')


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_perf_analyzer_drives_it(echo, protocol):
    run = subprocess.run([PERF / "perf_analyzer", "-m", "echo", "-i", protocol, "-u", echo.address, "--shape", "INPUT0:1", "--concurrency-range", "4",
                          "-p", "1000", "-r", "3", "-s", "900"], env={**os.environ, "LD_LIBRARY_PATH": str(PERF)}, capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Throughput:" in run.stdout and "Avg latency" in run.stdout, run.stdout


@pytest.mark.parametrize("change, words", [
    ({"path": "/absent.onnx"}, "No such file or directory"),
    ({"path": "/"}, "is a directory"),
    ({"path": "/bin/ls"}, "is not an ONNX model"),
    ({"path": str(SOURCE / "tests/data/onnx/sequence_output.onnx")}, "only tensors can be served"),
    ({"path": str(SOURCE / "tests/data/onnx/scalar.onnx"), "library": "/absent.so"}, "/absent.so (model.library)"),
    ({"path": str(SOURCE / "tests/data/onnx/scalar.onnx"), "providers": ["tpu"]}, "provider 'tpu' is not in this ONNX Runtime"),
])
def test_a_model_that_cannot_be_loaded_is_said_clearly(change, words):
    r = Replica({"name": "d", "runtime": "onnx", "model": change}, "m")
    state, (status, body) = r.state, r.curl("/v2/models/m")
    said = r.stop()
    assert state.startswith("FAILED") and words in state + said
    assert status == 503 and b"replica_failed" in body


SCALAR = {"path": str(SOURCE / "tests/data/onnx/scalar.onnx")}
OLD = """
#include <stddef.h>
typedef struct { const void* (*get_api)(unsigned); const char* (*version)(void); } Base;
static const void* get_api(unsigned version) { (void)version; return NULL; }
static const char* version(void) { return "1.10.0"; }
const Base* OrtGetApiBase(void) { static const Base base = {get_api, version}; return &base; }
"""


def failure(spec, environment=None):
    r = Replica({"name": "d", "runtime": "onnx", "model": spec}, "m", environment=environment)
    state = r.state + r.curl("/v2/models/m")[1].decode()
    r.stop()
    return state.replace("\\n", "\n")


def test_a_missing_library_is_told_with_every_place_and_the_way_out(tmp_path):
    text = failure(SCALAR, {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "COLONY_ORT_LIBRARY": ""})
    for words in ("pip install onnxruntime", "colony-serve[onnx]", "COLONY_ORT_LIBRARY", "beside the binary", f"{tmp_path}/cache/colony",
                  "libonnxruntime.so.1 (the loader's path)"):
        assert words in text, text
    assert "/absent/ort.so (COLONY_ORT_LIBRARY)" in failure(SCALAR, {"COLONY_ORT_LIBRARY": "/absent/ort.so"})


def test_a_library_that_is_another_or_too_old_is_refused(tmp_path):
    assert "it has no OrtGetApiBase" in failure({**SCALAR, "library": "libz.so.1"})
    (tmp_path / "old.c").write_text(OLD)
    subprocess.run(["clang-19", "-shared", "-fPIC", "-o", tmp_path / "libold.so", tmp_path / "old.c"], check=True)
    assert "which is too old" in failure({**SCALAR, "library": str(tmp_path / "libold.so")})
