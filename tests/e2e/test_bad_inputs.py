"""Bad inputs at every door of a running colony: YAML, control API, OIP over REST and gRPC, raw HTTP, HTTP/2 frames, the command
line. Each row is refused with its clear status or exit code and a message that names what is wrong; after each, a good request
is answered."""
import json
import os
import socket
import struct

import grpc
import numpy as np
import pytest
from running import PATIENCE, SOURCE, colony, echo_app
from tritonclient.grpc import service_pb2, service_pb2_grpc


@pytest.fixture(scope="module")
def running():
    with colony() as c:
        c.apply(echo_app(replicas=1, max_ongoing_requests=100))
        path = os.path.join(SOURCE, "tests/data/onnx")
        c.apply({"name": "add", "deployments": [{"name": "model", "runtime": "onnx", "model": {"path": f"{path}/add_sub.onnx"}}]})
        c.apply({"name": "text", "deployments": [{"name": "model", "runtime": "onnx", "model": {"path": f"{path}/identity_bytes.onnx"}}]})
        yield c


@pytest.fixture
def server(running):
    yield running
    assert running.echo()[::2] == (200, b"hello"), "a good request is answered after the bad one"
    assert running.call("GET", "/-/healthz")[0] == 200 and running.process.poll() is None


def names(rows):
    return [f"{i:02}" for i in range(len(rows))]


# ---- YAML: exit code 2, file:line, what is wrong ----
def deployment(line):
    return f"applications:\n- name: bad\n  deployments:\n  - name: d\n    runtime: echo\n    {line}\n"


def application(line):
    return f"applications:\n- name: bad\n  deployments: [{{name: d, runtime: echo}}]\n  {line}\n"


YAML = [
    (deployment("num_replica: 2"), 6, "unknown key; did you mean num_replicas?"),
    (deployment("num_replicas: -1"), 6, "must be from 0 to 10000"),
    (deployment("num_replicas: many"), 6, "expected an integer"),
    (deployment("num_replicas: 1.5"), 6, "must be an integer"),
    (deployment("max_ongoing_requests: 0"), 6, "must be from 1 to 100000"),
    (deployment("request_timeout_s: 10s"), 6, "expected a number"),
    (deployment("request_timeout_s: .nan"), 6, "must be from"),
    (deployment("rolling_update_percentage: 20"), 6, "must be from 0 to 1"),
    (deployment("ray_actor_options: {num_cpu: 1}"), 6, "did you mean num_cpus?"),
    (deployment("ray_actor_options: {runtime_env: {pip: [x]}}"), 6, "is not supported yet"),
    (deployment("autoscaling_config: {min_replicas: 1}"), 6, "is not supported yet; give num_replicas"),
    (deployment("model: /m.onnx"), 6, "runtime echo takes no model"),
    (deployment("transform: filetype"), 6, "a transform needs a model"),
    (deployment("name: e"), 6, "is given twice (first in line 4)"),
    (deployment("user_config: *missing"), 6, "not YAML"),
    (application("route_prefix: x"), 4, "must begin with '/'"),
    (application("route_prefix: /-/x"), 4, "is reserved"),
    (application("route_prefix: /a/../b"), 4, "'.' or '..'"),
    (application("import_path: my.module:app"), 4, "there is no python runtime yet"),
    (application("runtime_env: {pip: [torch]}"), 4, "is not supported yet"),
    (application("nmae: x"), 4, "did you mean name?"),
    ("applications:\n- name: bad\n  deployments:\n  - name: d\n    runtime: python\n", 5, "'python' is no runtime; there are: echo, onnx, external"),
    ("applications:\n- name: bad\n  deployments:\n  - name: d\n    model: {path: /m, intra_op: 0}\n", 5, "must be from 1 to 1024"),
    ("applications:\n- name: Bad!\n  deployments: [{name: d, runtime: echo}]\n", 2, "must begin with a-z or 0-9"),
    ("applications:\n- deployments: [{name: d, runtime: echo}]\n", 2, "name: is missing"),
    ("applications:\n- name: bad\n", 2, "deployments: is missing"),
    ("applications: {}\n", 1, "expected a list of applications"),
    ("application: []\n", 1, "did you mean applications?"),
    ("hello\n", 1, "got a string"),
    ("", 1, "the document is empty"),
    ("applications: [\n", 2, "not YAML"),
    ("applications: []\n---\napplications: []\n", 2, "a second document begins here"),
    ("applications: &a [*a]\n", 1, "an alias stands inside the value that it names"),
    ("http_options: {port: 80}\napplications: []\n", 1, "is not supported yet"),
]


@pytest.mark.parametrize("text, line, words", YAML, ids=names(YAML))
def test_yaml(server, tmp_path, text, line, words):
    path = tmp_path / "app.yaml"
    path.write_text(text)
    code, out, err = server.cli("apply", "-f", str(path), check=False)
    assert code == 2 and out == "" and words in err, (code, out, err)
    assert f"{path}:{line}" in err, err


# ---- the control API ----
APP = {"deployments": [{"name": "d", "runtime": "echo"}]}
CONTROL = [
    ("PUT", "/api/v1/applications/bad", "{", 400, "not JSON"),
    ("PUT", "/api/v1/applications/bad", "", 400, "not JSON"),
    ("PUT", "/api/v1/applications/bad", "[]", 400, "expected a mapping"),
    ("PUT", "/api/v1/applications/bad", {"name": "other", **APP}, 400, "does not agree with the name in the path"),
    ("PUT", "/api/v1/applications/B%20C", APP, 400, "must begin with a-z or 0-9"),
    ("PUT", "/api/v1/applications/bad", {"deployments": [{"name": "d", "runtime": "echo", "num_replicas": "2"}]}, 400, "num_replicas"),
    ("PUT", "/api/v1/applications/bad", {"deployments": [{"name": "d", "model": "m.onnx"}]}, 400, "relative path"),
    ("PUT", "/api/v1/applications/bad", {**APP, "route_prefix": "/echo"}, 409, "/echo"),
    ("PUT", "/api/v1/applications/bad", {"deployments": [{"name": "d", "models": [{"name": "echo", "path": "/m"}]}]}, 409, "echo"),
    ("PUT", "/api/v1/applications/echo?revision=77", {"name": "echo", **APP}, 409, "77"),
    ("PUT", "/api/v1/applications/bad?dry=true", APP, 400, "unknown query parameter 'dry'"),
    ("PUT", "/api/v1/applications/bad?dry_run=maybe", APP, 400, "must be true or false"),
    ("PUT", "/api/v1/applications/bad?dry_run=true&dry_run=true", APP, 400, "is given twice"),
    ("PUT", "/api/v1/applications/bad?dry_run=%zz", APP, 400, "broken percent escape"),
    ("PATCH", "/api/v1/applications/echo", APP, 405, "PATCH"),
    ("GET", "/api/v1/applications/absent", None, 404, "absent"),
    ("DELETE", "/api/v1/applications/absent", None, 404, "absent"),
    ("GET", "/api/v1/nothing", None, 404, "/api/v1/applications"),
    ("GET", "/api/v1/applications/echo/logs?lines=none", None, 400, "lines"),
    ("GET", "/api/v1/applications/echo/logs?replica=absent", None, 404, "absent"),
    ("POST", "/api/v1/applications/echo/deployments/absent/scale", {"target_num_replicas": 1}, 404, "absent"),
    ("POST", "/api/v1/applications/echo/deployments/main/scale", {"target_num_replicas": -1}, 400, "target_num_replicas"),
    ("POST", "/api/v1/applications/echo/deployments/main/scale", {"replicas": 1}, 400, "target_num_replicas"),
    ("POST", "/api/v1/applications/echo/deployments/main/scale", "one", 400, "JSON"),
    ("PUT", "/api/serve/applications/", {"applications": [{"name": "r", "import_path": "my:app"}]}, 400, "my:app"),
    ("PUT", "/api/serve/applications/", {"applications": 7}, 400, "applications"),
    ("PUT", "/api/serve/applications/?prune=1.5", {"applications": []}, 400, "prune"),
]


@pytest.mark.parametrize("method, path, body, status, words", CONTROL, ids=names(CONTROL))
def test_control_api(server, method, path, body, status, words):
    got, reply = server.call(method, path, body)
    assert got == status and words in reply["error"] and reply["code"] and reply["reason"] is not None, (got, reply)
    assert server.call("GET", "/api/v1/applications/bad")[0] == 404


def test_control_api_content_type(server):
    code, reply = server.call("PUT", "/api/v1/applications/bad", b"{}", {"content-type": "text/html"})
    assert code == 415 and "'text/html' is not understood" in reply["error"]


# ---- OIP over REST ----
def tensors(*inputs, **more):
    return json.dumps({"inputs": list(inputs), **more})


def x(**change):
    made = {"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2], **change}
    return {k: v for k, v in made.items() if v is not None}


A, B = x(name="a", shape=[2]), x(name="b", shape=[2])
BINARY = json.dumps({"inputs": [x(data=None, parameters={"binary_data_size": 8})]})
REST = [
    ("echo", "", {}, 400, "the request has no body"),
    ("echo", "{", {}, 400, "not valid JSON"),
    ("echo", "[]", {}, 400, "[] given, expected a JSON object"),
    ("echo", "{}", {}, 400, "inputs: missing"),
    ("echo", '{"inputs": 7}', {}, 400, "inputs: 7 given"),
    ("echo", tensors(7), {}, 400, "inputs[0]"),
    ("echo", tensors(x(name=None)), {}, 400, "name: missing"),
    ("echo", tensors(x(datatype=None)), {}, 400, "datatype: missing"),
    ("echo", tensors(x(datatype="FP31")), {}, 400, "FP31"),
    ("echo", tensors(x(shape=None)), {}, 400, "shape: missing"),
    ("echo", tensors(x(shape=[-1])), {}, 400, "shape"),
    ("echo", tensors(x(shape=[1.5])), {}, 400, "1.5"),
    ("echo", tensors(x(shape=[2**40, 2**40])), {}, 400, "shape"),
    ("echo", tensors(x(shape=[3])), {}, 400, "2 elements"),
    ("echo", tensors(x(data=None)), {}, 400, "data: missing"),
    ("echo", tensors(x(data=["a", "b"])), {}, 400, '"a" given'),
    ("echo", tensors(x(datatype="INT8", data=[1, 300])), {}, 400, "300"),
    ("echo", tensors(x(datatype="UINT8", data=[1, -1])), {}, 400, "-1"),
    ("echo", tensors(x(datatype="BOOL", data=[True, "yes"])), {}, 400, "yes"),
    ("echo", tensors(x(datatype="FP16")), {}, 400, "no JSON form"),
    ("echo", tensors(x(data=[[1, 2], [3]])), {}, 400, "[1,2] given, expected a number"),
    ("echo", tensors(x(parameters={"binary_data_size": 8})), {}, 400, "binary_data_size"),
    ("echo", tensors(x(), outputs=[{"name": "nothing"}]), {}, 400, "output 'nothing'"),
    ("echo", tensors(x(), outputs=7), {}, 400, "outputs: 7 given"),
    ("echo", tensors(x(), parameters=7), {}, 400, "parameters"),
    ("echo", BINARY + "1234567", {"Inference-Header-Content-Length": str(len(BINARY))}, 400, "binary_data_size: 8 given, but 7"),
    ("echo", BINARY + "123456789", {"Inference-Header-Content-Length": str(len(BINARY))}, 400, "1 bytes are left"),
    ("echo", BINARY, {"Inference-Header-Content-Length": "many"}, 400, "'many' given, expected a number of bytes"),
    ("echo", BINARY, {"Inference-Header-Content-Length": "99999"}, 400, "99999 given, but the body has"),
    ("echo", tensors(x()), {"content-encoding": "br"}, 415, "expected one of gzip, deflate, zstd"),
    ("echo", "[" * 5000, {}, 400, "JSON"),
    ("add", tensors(A), {}, 400, "'b'"),
    ("add", tensors(A, B, x(name="c")), {}, 400, "'c'"),
    ("add", tensors(A, A), {}, 400, "'a'"),
    ("add", tensors(A, x(name="b", datatype="INT32")), {}, 400, "INT32"),
    ("add", tensors(A, x(name="b", shape=[1, 1, 2])), {}, 400, "[1,1,2]"),
    ("add", tensors(A, B, outputs=[{"name": "nothing"}]), {}, 400, "nothing"),
    ("text", tensors(x(datatype="BYTES", shape=[1, 2], data=[1, 2])), {}, 400, "given, expected"),
    ("absent", tensors(x()), {}, 404, "absent"),
    ("echo/versions/9", tensors(x()), {}, 404, "has version 1, not '9'"),
    ("echo", tensors(x()), {"x-request-timeout-ms": "soon"}, 400, "timeout"),
]


@pytest.mark.parametrize("model, body, headers, status, words", REST, ids=names(REST))
def test_oip_rest(server, model, body, headers, status, words):
    got, _, raw = server.request("POST", f"/v2/models/{model}/infer", body.encode(), headers)
    assert got == status and words in json.loads(raw)["error"], (got, raw)


PAGES = [
    ("GET", "/v2/models/echo/infer", 405, "POST"),
    ("DELETE", "/v2/models/echo", 405, "GET"),
    ("GET", "/v2/models/add/nothing", 404, "/v2/models/MODEL"),
    ("POST", "/v2", 405, "GET"),
    ("GET", "/v2/repository/index", 405, "POST"),
    ("POST", "/-/healthz", 405, "GET"),
    ("GET", "/-/nothing", 404, "/-/healthz"),
    ("GET", "/v2/models/absent", 404, "models: add, echo, text"),
    ("GET", "/nowhere", 404, "routes: /add, /echo, /text"),
    ("POST", "/add", 404, "/v2/models/add/infer"),
    ("POST", "/v1/models/echo:predict", 400, "not valid JSON"),
    ("POST", "/v1/models/absent:predict", 404, "absent"),
    ("POST", "/v1/models/add:explain", 404, "explain"),
]


@pytest.mark.parametrize("method, path, status, words", PAGES, ids=names(PAGES))
def test_pages(server, method, path, status, words):
    got, _, raw = server.request(method, path)
    assert got == status and words in json.loads(raw)["error"], (got, raw)


# ---- OIP over gRPC ----
def call(model="echo", datatype="INT32", shape=(2,), raw=(b"\1\0\0\0\2\0\0\0",), version="", name="x", outputs=(), ints=()):
    request = service_pb2.ModelInferRequest(model_name=model, model_version=version)
    tensor = request.inputs.add(name=name, datatype=datatype, shape=shape)
    if ints:
        tensor.contents.int_contents.extend(ints)
    request.raw_input_contents.extend(raw)
    for o in outputs:
        request.outputs.add(name=o)
    return request.SerializeToString()


BAD, ABSENT = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
RPC = [
    ("ModelInfer", b"\xff\xff\xff\xff", BAD, "the protobuf message is cut off"),
    ("ModelInfer", b"", BAD, "names no model"),
    ("ModelInfer", call()[:-3], BAD, "ModelInferRequest"),
    ("ModelInfer", call(model="absent"), ABSENT, "absent"),
    ("ModelInfer", call(model="\u00e9" * 300), ABSENT, "no model"),
    ("ModelInfer", call(version="9"), ABSENT, "has version 1, not '9'"),
    ("ModelInfer", call(datatype="FP31"), BAD, "'FP31' given, expected one of BOOL"),
    ("ModelInfer", call(datatype=""), BAD, "datatype"),
    ("ModelInfer", call(name=""), BAD, "name: missing"),
    ("ModelInfer", call(shape=(3,)), BAD, "INT32 [3] takes 12"),
    ("ModelInfer", call(shape=(-1,)), BAD, "negative dimension -1"),
    ("ModelInfer", call(shape=(2**40, 2**40)), BAD, "more than 2^40 elements"),
    ("ModelInfer", call(raw=()), BAD, "elements"),
    ("ModelInfer", call(raw=(b"1234", b"5678")), BAD, "raw_input_contents: 2 elements for 1 inputs"),
    ("ModelInfer", call(ints=(1, 2)), BAD, "contents and raw_input_contents"),
    ("ModelInfer", call(raw=(), ints=(1, 2, 3)), BAD, "3 elements"),
    ("ModelInfer", call(datatype="INT8", raw=(), ints=(1, 300)), BAD, "300 does not fit INT8"),
    ("ModelInfer", call(datatype="FP16", raw=(), ints=(1, 2)), BAD, "FP16"),
    ("ModelInfer", call(datatype="BYTES", raw=(b"\xff\xff\xff\xff",)), BAD, "BYTES element 0 says 4294967295 bytes"),
    ("ModelInfer", call(outputs=("nothing",)), BAD, "nothing"),
    ("ModelInfer", call(model="add"), BAD, "input 'x' is unknown; model 'add' takes: a FP32"),
    ("ModelMetadata", service_pb2.ModelMetadataRequest(name="absent").SerializeToString(), ABSENT, "absent"),
    ("ModelConfig", service_pb2.ModelConfigRequest(name="echo", version="9").SerializeToString(), ABSENT, "'9'"),
    ("ModelStatistics", service_pb2.ModelStatisticsRequest(name="absent").SerializeToString(), ABSENT, "absent"),
    ("ServerLive", b"\xff\xff", BAD, "ServerLiveRequest"),
    ("RepositoryModelUnload", b"", grpc.StatusCode.UNIMPLEMENTED, "control API"),
    ("CudaSharedMemoryRegister", b"", grpc.StatusCode.UNIMPLEMENTED, "CudaSharedMemoryRegister"),
]


@pytest.mark.parametrize("method, message, code, words", RPC, ids=names(RPC))
def test_oip_grpc(server, method, message, code, words):
    with grpc.insecure_channel(server.http) as channel:
        with pytest.raises(grpc.RpcError) as e:
            channel.unary_unary(f"/inference.GRPCInferenceService/{method}")(message, timeout=PATIENCE)
        assert e.value.code() == code and words in e.value.details() and e.value.details(), (e.value.code(), e.value.details())
        good = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(service_pb2.ModelInferRequest.FromString(call()), timeout=PATIENCE)
        assert np.frombuffer(good.raw_output_contents[0], dtype=np.int32).tolist() == [1, 2], "on the same connection"


# ---- raw HTTP ----
H = b"POST /echo HTTP/1.1\r\nHost: x\r\n"
RAW = [
    (b"\r\n\r\n\r\n\r\n", 400, "does not begin with a method"),
    (b"hello\r\n\r\n", 400, "request line"),
    (b"GET\r\n\r\n", 400, "request line"),
    (b"GET /echo\r\nHost: x\r\n\r\n", 400, "no HTTP version"),
    (b"GET  /echo HTTP/1.1\r\nHost: x\r\n\r\n", 400, "holds no target"),
    (b"GET echo HTTP/1.1\r\nHost: x\r\n\r\n", 400, "target"),
    (b"GET /e\x01cho HTTP/1.1\r\nHost: x\r\n\r\n", 400, "may not stand in the request target"),
    (b"G@T /echo HTTP/1.1\r\nHost: x\r\n\r\n", 400, "method"),
    (b"GET /echo HTTP/3.0\r\nHost: x\r\n\r\n", 505, "HTTP/1.1"),
    (b"GET /echo HTTP/1.1\r\n\r\n", 400, "Host is missing"),
    (b"GET /echo HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400, "Host"),
    (b"GET /echo HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", 400, "white space"),
    (b"GET /echo HTTP/1.1\r\nHost: x\r\n folded: b\r\n\r\n", 400, "a folded line"),
    (b"GET /echo HTTP/1.1\r\nHost: x\r\nnocolon\r\n\r\n", 400, "a line without a colon"),
    (b"GET /echo HTTP/1.1\r\nHost: x\r\na: b\x00c\r\n\r\n", 400, "a NUL in a field's value"),
    (b"GET /echo HTTP/1.1\r\nHost: x\r\na: b\rc\r\n\r\n", 400, "a CR without LF"),
    (b"GET /echo HTTP/1.1\r\nHost: x\r\na: " + b"b" * 200_000 + b"\r\n\r\n", 431, "64 KiB"),
    (b"GET /echo HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 5000 + b"\r\n", 431, "more than 100 fields"),
    (b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "the target is longer than the limit"),
    (H + b"Content-Length: -1\r\n\r\n", 400, "Content-Length"),
    (H + b"Content-Length: 1e3\r\n\r\n", 400, "Content-Length"),
    (H + b"Content-Length: 99999999999999999999\r\n\r\n", 400, "Content-Length"),
    (H + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, "Content-Length"),
    (H + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "both Content-Length and Transfer-Encoding"),
    (H + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, "Transfer-Encoding is known with chunked only"),
    (H + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400, "Transfer-Encoding does not end in chunked"),
    (H + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400, "Transfer-Encoding is there twice"),
    (H + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "chunk"),
    (H + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", 400, "chunk"),
    (H + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", 400, "chunk"),
    (b"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "Transfer-Encoding"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 200, 400, "method"),
    (H + b"Content-Length: 2\r\nExpect: a-miracle\r\n\r\nab", 417, "Expect is known with 100-continue only"),
]


def exchange(address, data, end=True):
    """What comes back until the server closes; a server that has refused may close while bytes are still on their way to it."""
    host, port = address.rsplit(":", 1)
    got = b""
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as s:
        try:
            s.sendall(data)
            if end:
                s.shutdown(socket.SHUT_WR)
            while part := s.recv(65536):
                got += part
        except (ConnectionResetError, BrokenPipeError):
            pass
    return got


@pytest.mark.parametrize("door", ["http", "control"])
@pytest.mark.parametrize("data, status, words", RAW, ids=names(RAW))
def test_raw_http(server, door, data, status, words):
    got = exchange(getattr(server, door), data)
    if door == "control" and got.startswith(b"HTTP/1.1 404") and words == "chunk":
        return  # answered before the body came: there is no /echo on this port
    assert got.startswith(b"HTTP/1.1 ") and int(got.split()[1]) == status, got[:300]
    assert words in got.decode(errors="replace"), got[:500]


def test_a_bad_chunk_in_the_middle_ends_the_connection_and_smuggles_nothing(server):
    smuggled = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nsmuggled"
    got = exchange(server.http, H + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxx\r\n" + smuggled)
    assert got.count(b"HTTP/1.1 200") <= 1 and b"smuggled" not in got, got


def test_a_body_that_is_cut_short_is_no_request(server):
    got = exchange(server.http, H + b"Content-Length: 10\r\n\r\nabc")
    assert b"HTTP/1.1 200 OK\r\n" not in got or not got.endswith(b"abc" + b"\0" * 7)
    got = exchange(server.http, b"POST /v2/models/echo/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
    assert b"HTTP/1.1 200" not in got


# ---- HTTP/2 frames: GOAWAY or RST_STREAM with the code of RFC 9113 ----
PREFACE, SETTINGS = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0\0\0\4\0\0\0\0\0"


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


HEADERS = b"\x83\x86\x44\x05/echo\x41\x01x"  # POST http /echo, authority x
H2 = [
    (b"\xff" * 100, 1),
    (frame(0, 0, 1, b"data"), 1),
    (SETTINGS + frame(0, 0, 0, b"data"), 1),
    (SETTINGS + frame(1, 4, 2, HEADERS), 1),
    (SETTINGS + frame(1, 4, 1, b"\xff" * 20), 9),
    (SETTINGS + frame(4, 0, 0, b"12345"), 6),
    (SETTINGS + frame(6, 0, 0, b"short"), 6),
    (SETTINGS + frame(8, 0, 0, b"\0\0\0\0"), 1),
    (SETTINGS + frame(9, 4, 1, b""), 1),
    (SETTINGS + frame(0, 0, 1, b"a" * 20_000), 6),
    (SETTINGS + frame(5, 4, 1, b"\0\0\0\2" + HEADERS), 1),
    (SETTINGS + frame(1, 0, 1, HEADERS) + frame(6, 0, 0, b"12345678"), 1),
    (SETTINGS + frame(8, 0, 0, b"\x7f\xff\xff\xff"), 3),
]


@pytest.mark.parametrize("data, code", H2, ids=names(H2))
def test_http2_frames(server, data, code):
    got = exchange(server.http, PREFACE + data, end=False)
    codes = []
    while len(got) >= 9:
        size, kind = int.from_bytes(got[:3], "big"), got[3]
        if kind == 7:
            codes.append(int.from_bytes(got[13:17], "big"))
        got = got[9 + size:]
    assert codes and codes[-1] == code, codes


# ---- the command line ----
CLI = [
    ([], 2, "Usage: colony [OPTIONS] SUBCOMMAND"),
    (["nothing"], 2, "'nothing' is no verb of colony; there are up, run, apply"),
    (["status", "echo", "more"], 2, "more"),
    (["status", "--nothing"], 2, "--nothing"),
    (["apply"], 2, "--file"),
    (["apply", "-f", "/absent.yaml"], 2, "/absent.yaml"),
    (["apply", "-f", "/"], 2, "is a directory"),
    (["scale", "echo/main", "many"], 2, "many"),
    (["scale", "echo/main", "-1"], 2, "-1"),
    (["scale", "echo/absent", "1"], 3, "absent"),
    (["scale", "absent/main", "1"], 3, "absent"),
    (["status", "absent"], 3, "absent"),
    (["describe", "absent"], 3, "absent"),
    (["logs", "absent"], 3, "absent"),
    (["logs", "echo", "--replica", "absent"], 3, "absent"),
    (["delete", "absent"], 3, "absent"),
    (["infer", "absent", "--json", '{"inputs": []}'], 3, "absent"),
    (["infer", "echo", "--file", "/absent"], 2, "/absent"),
    (["infer", "add", "--json", '{"inputs": []}'], 2, "a"),
    (["infer", "add", "--npy", "a"], 2, "NAME=FILE"),
    (["up", "--http", "nowhere"], 2, "is no HOST:PORT"),
    (["up", "--loops", "-1"], 2, "whole number"),
    (["up", "--log-level", "loud"], 2, "debug|info|warn|error"),
    (["up", "--config", "/absent.yaml"], 2, "/absent.yaml"),
    (["up", "--token-file", "/absent"], 2, "/absent"),
    (["up", "--control", "0.0.0.0:0"], 2, "--token-file"),
    (["up", "-f", "/absent.yaml"], 2, "/absent.yaml"),
    (["run", "/absent.onnx"], 2, "/absent.onnx"),
    (["run", "/bin/ls"], 2, "/bin/ls"),
    (["--address", "127.0.0.1:1", "status"], 4, "127.0.0.1:1"),
    (["--address", "nowhere", "status"], 4, "address 'nowhere': the port is missing"),
    (["--token-file", "/absent", "status"], 2, "/absent"),
]


@pytest.mark.parametrize("arguments, code, words", CLI, ids=names(CLI))
def test_command_line(server, arguments, code, words):
    got, out, err = server.cli(*arguments, check=False)
    assert got == code and words in err, (got, out, err)


def test_there_are_enough_of_them():
    assert sum(map(len, (YAML, CONTROL, REST, PAGES, RPC, RAW, H2, CLI))) >= 200
