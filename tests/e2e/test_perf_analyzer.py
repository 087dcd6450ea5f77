"""perf_analyzer 2.51 drives the proxy over HTTP and gRPC, with the echo and with a real model, for a bounded time.

One replica each: perf_analyzer subtracts the statistics before a window from those after it, and statistics are a replica's own.
"""
import csv
import os
import subprocess
from pathlib import Path

import pytest
from running import SOURCE, colony, echo_app

HOME = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "colony/third_party/perf_analyzer"


@pytest.fixture(scope="module")
def server():
    with colony() as c:
        c.apply(echo_app(replicas=1, max_ongoing_requests=100))
        path = os.path.join(SOURCE, "tests/data/onnx/add_sub.onnx")
        c.apply({"name": "add", "deployments": [{"name": "model", "runtime": "onnx", "model": {"path": path}}]})
        yield c


def bounded(command):
    """(exit code, what it said) of a perf_analyzer that has 70 s; None when that was not enough."""
    child = subprocess.Popen(command, env={**os.environ, "LD_LIBRARY_PATH": str(HOME)}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        said, _ = child.communicate(timeout=70)
        return child.returncode, said
    except subprocess.TimeoutExpired:
        child.kill()
        return None, child.communicate()[0]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("model, more", [("echo", ["--shape", "INPUT0:1"]), ("add", ["--shape", "a:4", "--shape", "b:4"])])
def test_perf_analyzer_measures_without_a_failure(server, tmp_path, protocol, model, more):
    report = tmp_path / "out.csv"
    for _ in range(3):  # on a starved machine a window of its own may fail to be measured; what the server did is checked below
        code, said = bounded([HOME / "perf_analyzer", "-m", model, "-i", protocol, "-u", server.http, *more, "--concurrency-range", "4",
                              "--percentile=99", "-p", "2000", "-r", "3", "-s", "900", "-f", report])
        if code == 0:
            break
    assert code == 0 and "Failed" not in said and "failed" not in said, said
    row = next(csv.DictReader(report.open()))
    assert float(row["Inferences/Second"]) > 0 and float(row["p99 latency"]) > 0, row
    assert row["Concurrency"] == "4"
    lines = [line for line in server.call("GET", "/metrics")[1].splitlines()
             if line.startswith(("colony_http_requests_total{", "colony_grpc_requests_total{")) and f'application="{model}"' in line]
    good = [line for line in lines if 'code="200"' in line or 'code="OK"' in line]
    assert good and [line for line in lines if line not in good and not line.endswith(" 0")] == [], "every request was answered well"
