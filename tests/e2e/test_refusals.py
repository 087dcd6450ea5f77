"""What a running proxy refuses by itself, as clients of every protocol meet it: the status, the same reason in the head and in the
body, and when to come back. Behind it is a server that takes one request at a time and answers none."""
import json
import socket
import subprocess
import threading

import grpc
import pytest
from running import PATIENCE, colony, echo_app, wait_until


class Holding:
    """Takes every request and answers none."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.made, self.requests = [], 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            self.made.append(s)
            threading.Thread(target=self.hear, args=(s,), daemon=True).start()

    def hear(self, s):
        while True:
            try:
                data = s.recv(65536)
            except OSError:
                return
            if not data:
                s.close()
                return
            self.requests += b" HTTP/1.1\r\n" in data


def external(name, address, **more):
    return {"name": name, "route_prefix": f"/{name}", "deployments": [
        {"name": "main", "runtime": "external", "backend": {"addresses": [address]}, "max_ongoing_requests": 1, **more}]}


@pytest.fixture(scope="module")
def server():
    held, busy = Holding(), Holding()
    with colony(args=["--limits-body-bytes", "100000", "--limits-url-bytes", "1000", "--limits-head-fields", "50"]) as c:
        c.apply(echo_app(replicas=1))
        c.apply(external("held", held.address))
        c.apply(external("busy", busy.address, max_queued_requests=0, grpc_services=["busy.v1.Busy"]))
        with socket.create_connection(c.http.rsplit(":", 1)) as s:
            s.sendall(b"GET /busy HTTP/1.1\r\nhost: h\r\n\r\n")
            wait_until(lambda: busy.requests == 1, "the only place is taken")
            yield c
    for h in (held, busy):
        h.listener.close()


def curl(server, version, path, *arguments):
    """(status, fields, body) as curl sees them."""
    done = subprocess.run(["curl", "-sS", "-i", f"--{version}", *arguments, f"http://{server.http}{path}"], capture_output=True,
                          timeout=PATIENCE, check=False)
    assert done.stdout, done.stderr
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body


CASES = [
    ("queue_full", 503, "UNAVAILABLE", ["/busy"]),
    ("deadline", 504, "DEADLINE_EXCEEDED", ["/held", "-H", "x-request-timeout-ms: 100"]),
    ("bad_timeout", 400, "INVALID_ARGUMENT", ["/echo", "-H", "x-request-timeout-ms: soon"]),
    ("unknown_route", 404, "NOT_FOUND", ["/nowhere"]),
    ("unknown_model", 404, "NOT_FOUND", ["/v2/models/none/infer", "-d", "{}"]),
    ("unknown_route", 404, "NOT_FOUND", ["/-/nowhere"]),
    ("method_not_allowed", 405, "INVALID_ARGUMENT", ["/v2/health/ready", "-X", "DELETE"]),
]
OF_HTTP1 = [
    ("url_bytes", 414, "INVALID_ARGUMENT", ["/echo?" + "x" * 2000]),
    ("head_fields", 431, "INVALID_ARGUMENT", ["/echo", *[w for i in range(60) for w in ("-H", f"x-{i}: 1")]]),
    ("body_bytes", 413, "INVALID_ARGUMENT", ["/echo", "-H", "Expect:", "--data-binary", "x" * 100001]),
    ("bad_request", 400, "INVALID_ARGUMENT", ["/echo", "-H", "content-length: 5", "-H", "transfer-encoding: chunked", "-d", "x"]),
]


def check(got, reason, status, code):
    assert got[0] == status, got
    body = json.loads(got[2])
    assert (body["reason"], body["code"]) == (reason, code) and body["error"], got
    assert got[1]["x-colony-reason"] == reason, got
    if status in (429, 503):
        assert 1 <= int(got[1]["retry-after"]) <= 60, got
    else:
        assert "retry-after" not in got[1], got


@pytest.mark.parametrize("version", ["http1.1", "http2-prior-knowledge"])
@pytest.mark.parametrize("reason,status,code,ask", CASES, ids=lambda v: v if isinstance(v, str) else "")
def test_over_http(server, version, reason, status, code, ask):
    check(curl(server, version, *ask), reason, status, code)


@pytest.mark.parametrize("reason,status,code,ask", OF_HTTP1, ids=lambda v: v if isinstance(v, str) else "")
def test_limits_and_bad_requests_over_http1(server, reason, status, code, ask):
    check(curl(server, "http1.1", *ask), reason, status, code)


def refused(server, method, message=b"", **more):
    with grpc.insecure_channel(server.http, options=[("grpc.enable_retries", 0)]) as channel, pytest.raises(grpc.RpcError) as e:
        channel.unary_unary(method)(message, **{"timeout": PATIENCE, **more})
    return e.value.code().name, dict(e.value.trailing_metadata()), e.value.details()


@pytest.mark.parametrize("reason,status,method,message,metadata", [
    ("queue_full", "UNAVAILABLE", "/busy.v1.Busy/Get", b"", ()),
    ("unknown_service", "UNIMPLEMENTED", "/nowhere.v1.No/Get", b"", ()),
    ("unknown_model", "NOT_FOUND", "/inference.GRPCInferenceService/ModelInfer", b"\n\4none", ()),
    ("no_model", "INVALID_ARGUMENT", "/inference.GRPCInferenceService/ModelInfer", b"", ()),
    ("bad_timeout", "INVALID_ARGUMENT", "/busy.v1.Busy/Get", b"", (("x-request-timeout-ms", "soon"),)),
], ids=lambda v: v if isinstance(v, str) and v.islower() else "")
def test_over_grpc(server, reason, status, method, message, metadata):
    code, fields, details = refused(server, method, message, metadata=metadata)
    assert (code, fields["x-colony-reason"]) == (status, reason) and details, (code, fields, details)
    assert ("retry-after" in fields) == ("grpc-retry-pushback-ms" in fields) == (status == "UNAVAILABLE"), fields
