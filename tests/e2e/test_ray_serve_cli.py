"""Ray's own `serve` command against our control API: deploy, status, config, shutdown, and what it is refused."""
import os
import subprocess
import urllib.request
from pathlib import Path

import pytest
import yaml

from running import Colony, wait_until

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "colony"
SERVE = CACHE / "venv" / "ray" / "bin" / "serve"
PATIENCE = 300  # importing Ray alone takes many seconds on two busy cores


@pytest.fixture(scope="module")
def colony(tmp_path_factory):
    with Colony(str(tmp_path_factory.mktemp("ray") / "data")) as running:
        yield running


def serve(colony, *args, check=True):
    env = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_SERVE_LOG_TO_STDERR": "0"}
    done = subprocess.run([SERVE, *args, "--address", f"http://{colony.control}"], capture_output=True, text=True,
                          timeout=PATIENCE, env=env)
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def deploy(colony, tmp_path, document, check=True):
    file = tmp_path / "serve.yaml"
    file.write_text(yaml.safe_dump(document))
    return serve(colony, "deploy", str(file), check=check)


def echo(**more):
    return {"name": "echo-app", "import_path": "colony.builtin:echo", **more}


@pytest.mark.timeout(900)
def test_deploy_status_and_shutdown(colony, tmp_path):
    deploy(colony, tmp_path, {
        "proxy_location": "EveryNode",
        "http_options": {"host": "0.0.0.0", "port": 8000},
        "applications": [echo(route_prefix="/ray", deployments=[
            {"name": "echo", "num_replicas": 2, "max_ongoing_requests": 10, "ray_actor_options": {"num_cpus": 0.1}}])],
    })
    colony.wait_running("echo-app")
    with urllib.request.urlopen(f"http://{colony.http}/ray/x", data=b"hello", timeout=30) as reply:
        assert reply.status == 200

    status = yaml.safe_load(serve(colony, "status").stdout)
    app = status["applications"]["echo-app"]
    assert app["status"] == "RUNNING"
    assert app["deployments"]["echo"]["status"] == "HEALTHY"
    assert app["deployments"]["echo"]["replica_states"] == {"RUNNING": 2}
    assert list(status["proxies"].values()) == ["HEALTHY"]

    config = yaml.safe_load(serve(colony, "config").stdout)
    assert config["import_path"] == "colony.builtin:echo"
    assert config["route_prefix"] == "/ray"

    serve(colony, "shutdown", "-y")
    wait_until(lambda: colony.status("echo-app") is None, "the application goes")


@pytest.mark.timeout(900)
def test_what_has_no_counterpart_is_refused_by_name(colony, tmp_path):
    done = deploy(colony, tmp_path, {"applications": [
        {"name": "mine", "import_path": "my.module:app", "runtime_env": {"pip": ["torch"]},
         "deployments": [{"name": "D", "autoscaling_config": {"min_replicas": 1, "max_replicas": 3}}]}]}, check=False)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    for part in ("my.module:app", "runtime_env", "autoscaling_config", "not supported yet"):
        assert part in said, said
    assert colony.call("GET", "/api/v1/applications")[1] == {"applications": []}
