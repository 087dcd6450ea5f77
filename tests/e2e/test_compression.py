"""Compressed bodies of the inference protocol through the proxy, by plain HTTP: what comes back says how it is packed, bombs and
broken data are refused, and what is not understood is answered with what is."""
import gzip
import json
import subprocess
import zlib

import pytest
from running import SOURCE, colony, echo_app

PATH = "/v2/models/echo/infer"


@pytest.fixture(scope="module")
def server():
    with colony() as c:
        c.apply(echo_app())
        yield c


def document(n):
    return json.dumps({"inputs": [{"name": "x", "datatype": "INT64", "shape": [n], "data": list(range(n))}]}).encode()


def zstd(*arguments, data):
    return subprocess.run(["zstd", "-q", "-c", *arguments], input=data, capture_output=True, check=True).stdout


PACK = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "zstd": lambda data: zstd("-3", data=data)}
UNPACK = {"gzip": gzip.decompress, "deflate": zlib.decompress, "zstd": lambda data: zstd("-d", data=data)}


@pytest.mark.parametrize("coding", PACK)
def test_a_request_may_be_packed(server, coding):
    status, headers, body = server.request("POST", PATH, PACK[coding](document(5000)), {"content-encoding": coding})
    assert status == 200 and "content-encoding" not in headers
    assert json.loads(body)["outputs"][0]["data"] == list(range(5000))


@pytest.mark.parametrize("coding", UNPACK)
def test_a_reply_is_packed_for_who_asks(server, coding):
    status, headers, body = server.request("POST", PATH, document(5000), {"accept-encoding": f"br, {coding};q=0.5, identity;q=0.1"})
    assert status == 200 and headers["content-encoding"] == coding and len(body) < 25_000
    assert json.loads(UNPACK[coding](body))["outputs"][0]["data"] == list(range(5000))
    assert "content-encoding" not in server.request("POST", PATH, document(3), {"accept-encoding": coding})[1], "too small"
    assert "content-encoding" not in server.request("POST", PATH, document(5000), {"accept-encoding": f"{coding};q=0"})[1]


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "rot13"])
def test_a_coding_that_is_not_known_is_415_with_those_that_are(server, coding):
    status, headers, body = server.request("POST", PATH, document(3), {"content-encoding": coding})
    assert status == 415 and headers["accept-encoding"] == "gzip, deflate, zstd"
    assert json.loads(body)["reason"] == "content_encoding" and "gzip, deflate, zstd" in json.loads(body)["error"]


@pytest.mark.parametrize("coding", UNPACK)
def test_a_bomb_is_413_and_broken_data_400(server, coding):
    zeros = bytes(300 << 20)
    bomb = zstd("-1", data=zeros) if coding == "zstd" else PACK[coding](zeros)
    assert len(bomb) < 2 << 20
    status, _, body = server.request("POST", PATH, bomb, {"content-encoding": coding})
    assert status == 413 and json.loads(body)["reason"] == "body_too_large"
    good = PACK[coding](document(5000))
    for broken in (b"rubbish", good[:-20]):
        status, _, body = server.request("POST", PATH, broken, {"content-encoding": coding})
        assert status == 400 and coding in json.loads(body)["error"]
    assert server.request("POST", PATH, good, {"content-encoding": coding})[0] == 200


def test_a_transform_sees_the_body_as_it_was_before_packing(server):
    server.apply({"name": "filetype", "deployments": [{"name": "classifier", "runtime": "onnx", "transform": "filetype",
                                                       "model": {"path": f"{SOURCE}/examples/filetype/model.onnx"}}]})
    with open(__file__, "rb") as f:
        text = f.read()
    for coding, pack in PACK.items():
        status, _, body = server.request("POST", "/filetype", pack(text), {"content-encoding": coding})
        assert (status, json.loads(body)["label"]) == (200, "python"), coding
    status, headers, body = server.request("POST", "/filetype", text, {"content-encoding": "br"})
    assert status == 415 and headers["accept-encoding"] == "gzip, deflate, zstd"
    assert json.loads(server.request("POST", "/filetype", gzip.compress(text))[2])["label"] == "gzip", "not said to be packed"
