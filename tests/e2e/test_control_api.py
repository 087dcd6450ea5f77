"""The control API held to its own OpenAPI document: schemathesis makes requests out of /openapi.json, good ones and bad ones,
and compares status, content type, headers and body of each reply with what the document promises."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

from running import Colony

SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"
# What cannot be tried on the server under test: it would end it, it has nothing to restart, or the reply goes on for ever.
LEFT_OUT = ["shutdown", "restartProxy", "watchAll", "watchApplication"]
# Random specs ask for thousands of replicas: they are checked, not run. What running them does is in the flow tests.
CONFIG = """
seed = 20260301
continue-on-failure = true
max-failures = 20

[[operations]]
include-operation-id = "getLogs"
parameters = { follow = "false" }

[[operations]]
include-operation-id = ["applyDocument", "applyApplication", "applyRayDocument", "scale", "deleteApplication"]
parameters = { dry_run = "true" }

[[operations]]
include-operation-id = "deleteRayApplications"
enabled = false
"""


@pytest.fixture(scope="module")
def colony(tmp_path_factory):
    with Colony(str(tmp_path_factory.mktemp("api") / "data")) as running:
        running.apply({"name": "live", "deployments": [{"name": "d", "runtime": "echo"}]})
        yield running


def run_schemathesis(colony, tmp_path, *args):
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    command = [SCHEMATHESIS, "--config-file", str(config), "run", f"http://{colony.control}/openapi.json", "--no-color",
               *[f"--exclude-operation-id={o}" for o in LEFT_OUT], *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=500, cwd=tmp_path)


@pytest.mark.timeout(560)
def test_every_operation_keeps_what_the_document_promises(colony, tmp_path):
    done = run_schemathesis(colony, tmp_path, "--max-examples", os.environ.get("COLONY_SCHEMATHESIS_EXAMPLES", "25"))
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-2000:]
    assert colony.call("GET", "/-/healthz")[0] == 200
    assert [a["name"] for a in colony.call("GET", "/api/v1/applications")[1]["applications"]] == ["live"]
