"""tritonclient 2.73 against the proxy, as a user has it: HTTP and gRPC, sync and async, every datatype, streams, timeouts, errors."""
import asyncio
import json
import os
import queue
import time

import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc as grpcclient
import tritonclient.grpc.aio as grpcaio
import tritonclient.http as httpclient
import tritonclient.http.aio as httpaio
from running import SOURCE, colony, echo_app
from tritonclient.utils import InferenceServerException

TYPES = {"BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64, "INT8": np.int8,
         "INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "FP16": np.float16, "BF16": ml_dtypes.bfloat16, "FP32": np.float32,
         "FP64": np.float64, "BYTES": np.object_}
TYPE_OF = {"float32": "FP32", "int32": "INT32"}
LONG = 10**9  # rounds of the slow model: longer than any test


def model(name, file, **more):
    path = os.path.join(SOURCE, "tests/data/onnx", file)
    return {"name": name, "deployments": [{"name": "model", "runtime": "onnx", "model": {"path": path}, **more}]}


@pytest.fixture(scope="module")
def server():
    with colony() as c:
        c.apply(echo_app(replicas=2, max_ongoing_requests=100))
        c.apply(model("add", "add_sub.onnx"))
        c.apply(model("slow", "slow.onnx"))
        yield c


@pytest.fixture
def http(server):
    with httpclient.InferenceServerClient(server.http, concurrency=4) as client:
        yield client


@pytest.fixture
def rpc(server):
    with grpcclient.InferenceServerClient(server.http) as client:
        yield client


def values(datatype):
    if datatype == "BYTES":
        return np.array([[b"a", b""], ["é".encode(), b"z" * 5000]], dtype=np.object_)
    return np.array([[1, 0], [0, 1]]).astype(TYPES[datatype])


def tensor(module, data, datatype, name="INPUT0", **more):
    made = module.InferInput(name, list(data.shape), datatype)
    made.set_data_from_numpy(data, **more)
    return made


def as_bytes(got):
    return np.array([v if isinstance(v, bytes) else v.encode() for v in got.flatten()], dtype=np.object_).reshape(got.shape)


@pytest.mark.parametrize("datatype", TYPES)
def test_every_datatype_comes_back_as_binary_over_http(http, datatype):
    data = values(datatype)
    result = http.infer("echo", [tensor(httpclient, data, datatype, binary_data=True)], request_id="7",
                        outputs=[httpclient.InferRequestedOutput("INPUT0", binary_data=True)])
    assert (result.as_numpy("INPUT0") == data).all()
    reply = result.get_response()
    assert reply["id"] == "7" and reply["model_name"] == "echo"
    assert reply["outputs"][0]["datatype"] == datatype and reply["outputs"][0]["shape"] == [2, 2]


@pytest.mark.parametrize("datatype", [t for t in TYPES if t not in ("FP16", "BF16")])
def test_every_datatype_that_json_can_hold_comes_back_as_json(http, datatype):
    data = values(datatype)
    result = http.infer("echo", [tensor(httpclient, data, datatype, binary_data=False)],
                        outputs=[httpclient.InferRequestedOutput("INPUT0", binary_data=False)])
    got = result.as_numpy("INPUT0")
    assert ((as_bytes(got) if datatype == "BYTES" else got) == data).all()


@pytest.mark.parametrize("datatype", TYPES)
def test_every_datatype_comes_back_over_grpc(rpc, datatype):
    data = values(datatype)
    result = rpc.infer("echo", [tensor(grpcclient, data, datatype)], request_id="8")
    assert (result.as_numpy("INPUT0") == data).all()
    assert result.get_response().id == "8" and result.get_response().outputs[0].datatype == datatype


@pytest.mark.parametrize("asks", [True, False])
@pytest.mark.parametrize("sends", [True, False])
def test_json_and_binary_mix_in_one_exchange(http, sends, asks):
    data = values("INT64")
    result = http.infer("echo", [tensor(httpclient, data, "INT64", binary_data=sends)],
                        outputs=[httpclient.InferRequestedOutput("INPUT0", binary_data=asks)])
    assert (result.as_numpy("INPUT0") == data).all()
    assert ("data" in result.get_response()["outputs"][0]) is not asks


def test_a_tensor_of_many_megabytes_comes_back(http):
    data = np.arange(4 << 20, dtype=np.float32).reshape(1, -1)
    assert (http.infer("echo", [tensor(httpclient, data, "FP32", binary_data=True)]).as_numpy("INPUT0") == data).all()


@pytest.mark.parametrize("answer", [None, "gzip", "deflate"])
@pytest.mark.parametrize("ask", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_compressed_requests_and_replies_over_http(http, binary, ask, answer):
    data = np.arange(5000, dtype=np.int32).reshape(50, 100)
    result = http.infer("echo", [tensor(httpclient, data, "INT32", binary_data=binary)],
                        outputs=[httpclient.InferRequestedOutput("INPUT0", binary_data=binary)],
                        request_compression_algorithm=ask, response_compression_algorithm=answer)
    assert (result.as_numpy("INPUT0") == data).all()


@pytest.mark.parametrize("kind", ["gzip", "deflate"])
def test_compressed_calls_over_grpc(rpc, kind):
    for data in (np.zeros((2, 500_000), dtype=np.float32), values("INT32")):
        assert (rpc.infer("echo", [tensor(grpcclient, data, TYPE_OF[data.dtype.name])], compression_algorithm=kind).as_numpy("INPUT0") == data).all()


def test_a_compressed_stream(rpc):
    answers = queue.Queue()
    rpc.start_stream(callback=lambda result, error: answers.put((result, error)), compression_algorithm="gzip")
    for n in range(50):
        rpc.async_stream_infer("echo", [tensor(grpcclient, np.full(2000, n), "INT64")])
    got = [answers.get(timeout=60) for _ in range(50)]
    rpc.stop_stream()
    assert [int(result.as_numpy("INPUT0")[1999]) for result, error in got if error is None] == list(range(50))


def test_a_real_model_over_both(http, rpc):
    metadata = http.get_model_metadata("add")
    names = [i["name"] for i in metadata["inputs"]]
    assert names == [i.name for i in rpc.get_model_metadata("add").inputs] and len(names) == 2
    shape = [n if n > 0 else 1 for n in metadata["inputs"][0]["shape"]]
    a, b = np.full(shape, 5, dtype=np.float32), np.full(shape, 3, dtype=np.float32)
    for module, client in ((httpclient, http), (grpcclient, rpc)):
        result = client.infer("add", [tensor(module, a, "FP32", names[0]), tensor(module, b, "FP32", names[1])])
        got = sorted(float(result.as_numpy(o["name"]).flatten()[0]) for o in metadata["outputs"])
        assert got == [2, 8]


def test_only_the_outputs_that_were_asked_for_come_back(http, rpc):
    metadata = http.get_model_metadata("add")
    shape = [n if n > 0 else 1 for n in metadata["inputs"][0]["shape"]]
    one, last = np.ones(shape, dtype=np.float32), metadata["outputs"][-1]["name"]
    for module, client in ((httpclient, http), (grpcclient, rpc)):
        inputs = [tensor(module, one, "FP32", i["name"]) for i in metadata["inputs"]]
        response = client.infer("add", inputs, outputs=[module.InferRequestedOutput(last)]).get_response()
        outputs = response["outputs"] if module is httpclient else response.outputs
        assert [o["name"] if module is httpclient else o.name for o in outputs] == [last]


def test_what_clients_ask_about_server_and_models(http, rpc):
    for client in (http, rpc):
        assert client.is_server_live() and client.is_server_ready()
        assert client.is_model_ready("echo") and client.is_model_ready("add", "1")
        assert not client.is_model_ready("absent")
    assert http.get_server_metadata()["name"] == rpc.get_server_metadata().name == "colony"
    assert http.get_server_metadata()["extensions"] == list(rpc.get_server_metadata().extensions)
    assert http.get_model_metadata("echo")["inputs"] == [{"name": "INPUT0", "datatype": "FP32", "shape": [-1]}]
    assert rpc.get_model_metadata("echo", as_json=True)["versions"] == ["1"]
    assert http.get_model_config("add")["input"][0]["data_type"] == "TYPE_FP32"
    assert rpc.get_model_config("add", as_json=True)["config"]["input"][0]["data_type"] == "TYPE_FP32"


def test_the_repository_index_lists_every_model(http, rpc):
    over_http = {(m["name"], m["version"], m["state"]) for m in http.get_model_repository_index()}
    over_grpc = {(m.name, m.version, m.state) for m in rpc.get_model_repository_index().models}
    assert over_http == over_grpc == {(name, "1", "READY") for name in ("add", "echo", "slow")}


def test_statistics_count_what_was_asked(http, rpc):
    data = np.ones([int(n) if int(n) > 0 else 1 for n in http.get_model_metadata("add")["inputs"][0]["shape"]], dtype=np.float32)
    names = [i["name"] for i in http.get_model_metadata("add")["inputs"]]
    before = http.get_inference_statistics("add")["model_stats"][0]["inference_count"]
    for _ in range(5):
        http.infer("add", [tensor(httpclient, data, "FP32", n) for n in names])
    stats = http.get_inference_statistics("add")["model_stats"][0]
    assert stats["inference_count"] == before + 5 and stats["inference_stats"]["compute_infer"]["ns"] > 0
    over_grpc = rpc.get_inference_statistics("add").model_stats[0]
    assert (over_grpc.name, over_grpc.inference_count) == ("add", before + 5)


@pytest.mark.parametrize("ask", ["infer", "metadata", "config", "statistics"])
def test_an_unknown_model_is_named_and_what_there_is_as_well(http, rpc, ask):
    for module, client in ((httpclient, http), (grpcclient, rpc)):
        calls = {"infer": lambda: client.infer("absent", [tensor(module, values("INT8"), "INT8")]),
                 "metadata": lambda: client.get_model_metadata("absent"),
                 "config": lambda: client.get_model_config("absent"),
                 "statistics": lambda: client.get_inference_statistics("absent")}
        with pytest.raises(InferenceServerException, match="absent.*echo") as e:
            calls[ask]()
        assert "404" in str(e.value.status()) or "NOT_FOUND" in str(e.value.status())


def test_an_unknown_version_is_refused(http, rpc):
    for module, client in ((httpclient, http), (grpcclient, rpc)):
        with pytest.raises(InferenceServerException, match="has version 1, not '9'"):
            client.infer("echo", [tensor(module, values("INT8"), "INT8")], model_version="9")


def test_wrong_tensors_are_refused_with_what_is_expected(http, rpc):
    for module, client in ((httpclient, http), (grpcclient, rpc)):
        names = [i["name"] for i in http.get_model_metadata("add")["inputs"]]
        with pytest.raises(InferenceServerException, match="INT8.*FP32"):
            client.infer("add", [tensor(module, values("INT8"), "INT8", n) for n in names])
        with pytest.raises(InferenceServerException, match="nothing_like_it"):
            client.infer("add", [tensor(module, values("FP32"), "FP32", n) for n in (*names, "nothing_like_it")])
        with pytest.raises(InferenceServerException, match="output 'elsewhere'"):
            client.infer("echo", [tensor(module, values("FP32"), "FP32")], outputs=[module.InferRequestedOutput("elsewhere")])


def test_a_stream_answers_in_order_and_survives_an_error(rpc):
    answers = queue.Queue()
    rpc.start_stream(callback=lambda result, error: answers.put((result, error)))
    for n in range(200):
        wanted = [grpcclient.InferRequestedOutput("elsewhere")] if n == 100 else None
        rpc.async_stream_infer("echo", [tensor(grpcclient, np.array([n]), "INT64")], request_id=str(n), outputs=wanted)
    for n in range(200):
        result, error = answers.get(timeout=60)
        if n == 100:
            assert "elsewhere" in str(error)
        else:
            assert error is None and result.as_numpy("INPUT0")[0] == n and result.get_response().id == str(n)
    rpc.stop_stream()


def test_asynchronous_calls_of_the_synchronous_clients(http, rpc):
    pending = [http.async_infer("echo", [tensor(httpclient, np.array([n]), "INT64")]) for n in range(50)]
    answers = queue.Queue()
    for n in range(50):
        rpc.async_infer("echo", [tensor(grpcclient, np.array([n]), "INT64")], lambda result, error: answers.put((result, error)))
    assert [int(p.get_result().as_numpy("INPUT0")[0]) for p in pending] == list(range(50))
    got = [answers.get(timeout=60) for _ in range(50)]
    assert sorted(int(result.as_numpy("INPUT0")[0]) for result, error in got) == list(range(50))


def test_asyncio_clients(server):
    async def both():
        async with grpcaio.InferenceServerClient(server.http) as rpc, httpaio.InferenceServerClient(server.http) as http:
            assert await rpc.is_server_ready() and await http.is_server_ready()
            assert (await http.get_model_metadata("echo"))["name"] == (await rpc.get_model_metadata("echo")).name == "echo"
            calls = [client.infer("echo", [tensor(module, np.array([n]), "INT64")])
                     for n in range(50) for module, client in ((grpcclient, rpc), (httpclient, http))]
            with pytest.raises(InferenceServerException, match="absent"):
                await rpc.infer("absent", [tensor(grpcclient, values("INT8"), "INT8")])
            with pytest.raises(InferenceServerException, match="absent"):
                await http.infer("absent", [tensor(httpclient, values("INT8"), "INT8")])
            return [int(r.as_numpy("INPUT0")[0]) for r in await asyncio.gather(*calls)]

    assert asyncio.run(both()) == [n for n in range(50) for _ in range(2)]


def test_an_asyncio_stream(server):
    async def stream():
        async def requests():
            for n in range(100):
                yield {"model_name": "echo", "inputs": [tensor(grpcclient, np.array([n]), "INT64")], "request_id": str(n)}

        async with grpcaio.InferenceServerClient(server.http) as rpc:
            return [int(result.as_numpy("INPUT0")[0]) async for result, error in rpc.stream_infer(requests()) if error is None]

    assert asyncio.run(stream()) == list(range(100))


def slow_inputs(module, rounds=LONG):
    return [tensor(module, np.array(rounds, dtype=np.int64), "INT64", "rounds"),
            tensor(module, np.eye(64, dtype=np.float32), "FP32", "m")]


def test_a_client_s_deadline_ends_the_call_over_grpc_and_the_server_goes_on(rpc):
    rpc.infer("slow", slow_inputs(grpcclient, 1))
    begun = time.monotonic()
    with pytest.raises(InferenceServerException, match="(?i)deadline") as e:
        rpc.infer("slow", slow_inputs(grpcclient), client_timeout=0.5)
    assert "DEADLINE_EXCEEDED" in str(e.value.status()) and time.monotonic() - begun < 30
    rpc.infer("slow", slow_inputs(grpcclient, 1), client_timeout=30)  # the run was broken off: its thread is free again


def test_a_timeout_of_the_network_ends_the_call_over_http_and_the_server_goes_on(server, http):
    with httpclient.InferenceServerClient(server.http, network_timeout=0.5) as hasty, pytest.raises(Exception, match="timed out"):
        hasty.infer("slow", slow_inputs(httpclient))
    http.infer("slow", slow_inputs(httpclient, 1))


def test_a_deadline_in_a_header_is_kept_over_http(http):
    with pytest.raises(InferenceServerException) as e:
        http.infer("slow", slow_inputs(httpclient), headers={"x-request-timeout-ms": "300"})
    assert "504" in str(e.value.status())
    http.infer("slow", slow_inputs(httpclient, 1))


def test_headers_of_the_client_reach_the_reply(server, http):
    status, headers, raw = server.request("POST", "/v2/models/echo/infer", json.dumps(
        {"inputs": [{"name": "x", "datatype": "INT8", "shape": [1], "data": [1]}]}), {"x-request-id": "from-the-client"})
    assert status == 200 and headers["x-request-id"] == "from-the-client" and json.loads(raw)["outputs"][0]["data"] == [1]
