"""Every change of a running application, with requests all the time: not one may fail."""
import os
import shutil

import pytest
from running import SOURCE, Load, colony, echo_app, wait_until

BOTH = pytest.mark.parametrize("processes", [False, True], ids=["one-process", "processes"])


@BOTH
def test_scaling_up_and_down(processes):
    with colony(processes) as c:
        c.apply(echo_app(replicas=2))
        with Load(c) as load:
            for n in (8, 1):
                c.apply(echo_app(replicas=n))
                assert len(c.replicas("echo")) == n
                load.flowed(100)
        assert load.failures == []


@BOTH
def test_a_new_user_config_in_place(processes):
    with colony(processes) as c:
        c.apply(echo_app(replicas=3))
        before = c.pids("echo")
        with Load(c) as load:
            c.apply(echo_app(replicas=3, user_config={"threshold": 0.5}))
        assert load.failures == []
        assert c.pids("echo") == before, "no process was restarted"


@BOTH
def test_new_processes_first_up_then_down(processes):
    with colony(processes) as c:
        c.apply(echo_app(replicas=3))
        before = set(c.pids("echo").values())
        with Load(c) as load:
            c.apply(echo_app(replicas=3, max_ongoing_requests=64))
        assert load.failures == []
        assert not before & set(c.pids("echo").values())


@BOTH
def test_deleting_one_application_leaves_the_other_alone(processes):
    with colony(processes) as c:
        c.apply(echo_app("echo"))
        c.apply(echo_app("other"))
        with Load(c) as load:
            assert c.call("DELETE", "/api/v1/applications/other")[0] in (200, 202)
            wait_until(lambda: c.status("other") is None, "the other app gone")
            load.flowed(100)
        assert load.failures == []
        status, _, body = c.echo("other")
        assert status == 404 and b"/echo" in body, body


@BOTH
def test_requests_in_flight_are_answered_when_their_app_is_deleted(processes):
    """Until the routes are gone every answer is a 200; afterwards it is a 404. Nothing else is ever seen."""
    with colony(processes) as c:
        c.apply(echo_app("echo"))
        answers = []

        def check(status, _):
            answers.append(status)
            return status in (200, 404)

        with Load(c, check=check) as load:
            c.call("DELETE", "/api/v1/applications/echo")
            wait_until(lambda: c.status("echo") is None, "the app gone")
        assert load.failures == []
        assert 200 in answers and 404 in answers
        assert answers[-1] == 404


def filetype_app(model):
    return {"name": "filetype", "deployments": [{"name": "classifier", "runtime": "onnx", "num_replicas": 2,
                                                 "transform": "filetype", "model": {"path": model}}]}


@BOTH
def test_another_model_file_in_place(processes, tmp_path):
    source = f"{SOURCE}/examples/filetype"
    for n in ("one", "two"):
        os.makedirs(tmp_path / n)
        for name in os.listdir(source):
            if not name.endswith((".yaml", ".md")):
                shutil.copy(f"{source}/{name}", tmp_path / n / name)
    with open(__file__, "rb") as f:
        body = f.read()
    with colony(processes) as c:
        c.apply(filetype_app(str(tmp_path / "one" / "model.onnx")))
        before = c.pids("filetype")
        with Load(c, "/filetype", body, clients=2, check=lambda status, raw: status == 200 and b'"python"' in raw) as load:
            c.apply(filetype_app(str(tmp_path / "two" / "model.onnx")))
            load.flowed(20)
        assert load.failures == []
        assert c.pids("filetype") == before
