"""The control API held to its own OpenAPI document: schemathesis makes requests out of /openapi.json, good ones and bad ones,
and compares status, content type, headers and body of each reply with what the document promises."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

from running import Colony

SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"
# What cannot be tried against the server under test: it would end it, or the reply never ends.
LEFT_OUT = ["shutdown", "watchAll", "watchApplication"]
CONFIG = """
seed = 20260301
continue-on-failure = true
max-failures = 20

[phases.stateful]
enabled = true

[generation]
deterministic = true
"""


@pytest.fixture(scope="module")
def colony(tmp_path_factory):
    with Colony(str(tmp_path_factory.mktemp("api") / "data")) as running:
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
    code, health = colony.call("GET", "/-/healthz")
    assert code == 200, health
