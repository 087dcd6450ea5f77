"""The command line when a person slips: odd names, pipes, nothing to serve, an impatient second Ctrl-C."""
import json
import os
import re
import signal
import socket
import subprocess

import pytest
from running import BINARY, PATIENCE, SOURCE, colony, echo_app, wait_until


@pytest.fixture(scope="module")
def serving():
    with colony() as c:
        c.apply(echo_app(replicas=1))
        c.call("PUT", "/api/v1/applications/broken",
               {"deployments": [{"name": "d", "model": {"path": "/absent/model.onnx"}}]})
        wait_until(lambda: c.status("broken")["status"] == "DEPLOY_FAILED", "the broken one failed")
        yield c


@pytest.mark.parametrize("verb", [["status"], ["describe"], ["delete"], ["logs"], ["scale"], ["infer", "--json", "{}"]],
                         ids=lambda v: v[0])
@pytest.mark.parametrize("name", ["a b", "echo?dry_run=true", "../status", "echo#x", ""])
def test_a_name_that_cannot_be_is_refused_and_never_another_path(serving, verb, name):
    more = ["1"] if verb[0] == "scale" else []
    if verb[0] == "status" and not name:
        return  # all of them
    code, out, err = serving.cli(verb[0], name, *verb[1:], *more, check=False)
    assert code == 2 and "cannot be the name" in err and not out, (code, out, err)
    assert serving.status("echo")["status"] == "RUNNING"


def test_infer_reads_standard_input_and_pipes(serving):
    assert serving.cli("infer", "echo", "--file", "-", stdin="from a pipe")[1] == "from a pipe\n"
    assert serving.cli("infer", "echo", "--file", "/dev/stdin", stdin="and another")[1] == "and another\n"
    code, _, err = serving.cli("infer", "echo", "--file", SOURCE, check=False)
    assert code == 2 and "Is a directory" in err


def test_infer_of_what_nobody_serves_says_why_at_once(serving):
    code, _, err = serving.cli("infer", "broken", "--json", '{"inputs":[]}', check=False)
    assert code == 4 and "DEPLOY_FAILED" in err and "/absent/model.onnx" in err, (code, err)


def test_infer_has_a_deadline_that_the_server_knows(serving):
    serving.apply(echo_app("empty", replicas=0))
    code, _, err = serving.cli("infer", "empty", "--json", "{}", "--timeout", "0.2", check=False)
    assert code == 1 and "answered 504" in err, (code, err)
    serving.cli("delete", "empty")


def test_logs_are_lines_for_a_person_or_json_for_a_program(serving):
    text = wait_until(lambda: serving.cli("logs", "echo")[1], "the replica's first line")
    assert re.search(r"^\d\d:\d\d:\d\d info  echo\.main\.\w+: READY", text, re.M), text
    lines = [json.loads(line) for line in serving.cli("--json", "logs", "echo")[1].splitlines()]
    assert any("READY" in line["message"] and line["level"] == "info" for line in lines), lines
    failed = serving.cli("status", "broken")[1]
    assert re.search(r" \| \d\d:\d\d:\d\d error .*cannot load", failed) and '{"time"' not in failed, failed


def test_doctor_knows_the_ports_of_the_colony_that_runs(serving):
    found = {f["subject"]: f for f in json.loads(
        serving.cli("--json", "doctor", "--http", serving.http, "--control", serving.control, check=False)[1])}
    for address in (serving.http, serving.control):
        assert found["port " + address.rsplit(":", 1)[1]] == {
            "subject": "port " + address.rsplit(":", 1)[1], "state": "OK", "detail": "held by the Colony that runs"}
    port = serving.http.rsplit(":", 1)[1]
    done = subprocess.run([BINARY, "doctor", "--http", serving.http, "--address", "127.0.0.1:1"],
                          capture_output=True, text=True, timeout=PATIENCE)
    assert re.search(rf"WARN +port {port} +{serving.http}: taken; use another: colony up --http", done.stdout), done.stdout


def test_a_pipe_gets_whole_lines_and_no_colours(serving):
    code, out, _ = serving.cli("status", "broken", check=False)
    assert code == 0 and "…" not in out and "\x1b" not in out


def test_without_a_verb_there_is_help():
    done = subprocess.run([BINARY], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2 and "apply" in done.stderr and "status" in done.stderr and not done.stdout


def test_run_leaves_no_folder_when_a_setting_is_wrong(tmp_path):
    done = subprocess.run([BINARY, "run", f"{SOURCE}/tests/data/onnx/scalar.onnx", "--http", "nowhere"], text=True,
                          capture_output=True, timeout=PATIENCE, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert done.returncode == 2 and "--http" in done.stderr
    assert os.listdir(tmp_path) == []


def test_run_leaves_no_folder_after_a_second_ctrl_c(tmp_path):
    spec = tmp_path / "app.yaml"
    spec.write_text("applications:\n- name: here\n  deployments: [{name: d, runtime: echo}]\n")
    run = subprocess.Popen([BINARY, "run", spec, "--http", "127.0.0.1:0", "--drain-timeout-s", "600"], text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, "TMPDIR": str(tmp_path)})
    try:
        out = ""
        while "curl" not in out:
            line = run.stdout.readline()
            assert line, out
            out += line
        host, port = re.search(r"requests +http://(\S+):(\d+)", out).groups()
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as s:
            s.sendall(b"POST /here HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
            assert s.recv(4096).startswith(b"HTTP/1.1 200")  # the echo of the first half: the request runs
            run.send_signal(signal.SIGINT)
            wait_until(lambda: not listening(host, port), "the drain begins")
            assert [x for x in os.listdir(tmp_path) if x.startswith("colony-run-")] and run.poll() is None
            run.send_signal(signal.SIGINT)
            assert run.wait(PATIENCE) == 130
    finally:
        run.kill()
        run.wait(PATIENCE)
        run.stdout.close()
    assert os.listdir(tmp_path) == ["app.yaml"]


def listening(host, port):
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
        return True
    except OSError:
        return False
