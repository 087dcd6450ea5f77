"""gRPC's own interop client and server, both in Go, with the proxy between them: every case that needs no TLS."""
import os
import subprocess
from pathlib import Path

import pytest
from running import PATIENCE, colony, free_port

PROGRAMS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "colony" / "third_party" / "grpc_interop"
CASES = ("empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream",
         "timeout_on_sleeping_server", "cancel_after_begin", "cancel_after_first_response", "status_code_and_message",
         "special_status_message", "custom_metadata", "unimplemented_method", "unimplemented_service")


@pytest.fixture(scope="module")
def proxy():
    port = free_port()
    back = subprocess.Popen([PROGRAMS / "server", f"--port={port}"], stderr=subprocess.DEVNULL)
    with colony() as c:
        c.apply({"name": "interop", "deployments": [{
            "name": "main", "max_ongoing_requests": 100, "grpc_services": ["grpc.testing.TestService"],
            "backend": {"addresses": [f"127.0.0.1:{port}"], "protocol": "h2c"}}]})
        yield c.http
    back.kill()
    back.wait()


@pytest.mark.parametrize("case", CASES)
def test_case(proxy, case):
    host, port = proxy.rsplit(":", 1)
    done = subprocess.run([PROGRAMS / "client", f"--server_host={host}", f"--server_port={port}", f"--test_case={case}"],
                          capture_output=True, text=True, timeout=PATIENCE * 2)
    assert done.returncode == 0, done.stderr[-2000:]
