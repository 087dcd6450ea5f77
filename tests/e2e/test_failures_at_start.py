"""What goes wrong when colony starts or a model is loaded: a clear message, the right exit code, and the rest keeps serving. And
the verbs of the command line as a person uses them: settings, tokens, -d and down, run, logs, describe, scale, delete, doctor."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

import numpy as np
import pytest
from running import BINARY, PATIENCE, SOURCE, Colony, alive, colony, echo_app, wait_until

ONNX = os.path.join(SOURCE, "tests/data/onnx")


def colony_command(*arguments, env=None, prefix=(), patience=PATIENCE, stdin=None):
    """(exit code, stdout, stderr) of a command that must end by itself."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("COLONY_")}
    done = subprocess.run([*prefix, BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=patience, input=stdin,
                          env={**clean, **(env or {})})
    return done.returncode, done.stdout, done.stderr


def up_fails(data_dir, *arguments, **more):
    doors = [word for door in ("--http", "--control") if door not in arguments for word in (door, "127.0.0.1:0")]
    code, out, err = colony_command("up", *doors, "--data-dir", data_dir, *arguments, **more)
    assert "Colony is up" not in out, out
    return code, err


def mounted(data_dir, mount):
    """A prefix that runs the command in a mount namespace of its own, after `mount` (which has the folder as $0)."""
    os.makedirs(data_dir)
    return ["unshare", "-m", "sh", "-ec", mount + '; exec "$@"', str(data_dir)]


READ_ONLY = 'mount --bind "$0" "$0"; mount -o remount,ro,bind "$0"'


def onnx_app(path, name="model", **more):
    return {"name": name, "deployments": [{"name": "model", "runtime": "onnx", "model": {"path": str(path), **more}}]}


@pytest.fixture(scope="module")
def serving():
    with colony() as c:
        c.apply(echo_app(replicas=1))
        yield c


# ---- the data directory ----
def test_a_data_dir_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    code, err = up_fails(tmp_path / "file")
    assert code == 2 and str(tmp_path / "file") in err and "data dir" in err, (code, err)
    code, err = up_fails(tmp_path / "file/below")
    assert code == 2 and str(tmp_path / "file/below") in err, (code, err)


def test_a_data_dir_that_is_read_only(tmp_path):
    code, err = up_fails(tmp_path / "data", prefix=mounted(tmp_path / "data", READ_ONLY))
    assert code == 2 and str(tmp_path / "data") in err and "not writable" in err and "--data-dir" in err, (code, err)


def test_a_data_dir_on_a_full_disk(tmp_path):
    fill = 'mount -t tmpfs -o size=64k tmpfs "$0"; dd if=/dev/zero of="$0/fill" bs=4k 2>/dev/null || true'
    code, err = up_fails(tmp_path / "data", prefix=mounted(tmp_path / "data", fill))
    assert code != 0 and str(tmp_path / "data") in err and "No space left on device" in err, (code, err)


@pytest.mark.parametrize("processes", [False, True], ids=["one-process", "processes"])
def test_a_disk_that_fills_up_costs_no_request_and_is_said(tmp_path, processes):
    data = tmp_path / "data"
    with Colony(str(data), processes, prefix=mounted(data, 'mount -t tmpfs -o size=8m tmpfs "$0"')) as c:
        c.apply(echo_app(replicas=1))
        filler = f"/proc/{c.process.pid}/root{data}/fill"
        with open(filler, "wb", buffering=0) as f, pytest.raises(OSError, match="No space left"):
            while f.write(b"\0" * 4096) == 4096:
                pass
            raise OSError("No space left for a whole block")
        status, reply = c.call("PUT", "/api/v1/applications/more", {"deployments": [{"name": "d", "runtime": "echo", "user_config": {"x": "y" * 200_000}}]})
        assert status == 429 and "full" in reply["error"].lower(), (status, reply)
        assert c.echo()[::2] == (200, b"hello") and c.status("more") is None
        os.unlink(filler)
        c.apply(echo_app("more", replicas=1))
        assert c.echo("more")[2] == b"hello"


@pytest.mark.parametrize("second", [[], ["--processes"]], ids=["one-process", "processes"])
@pytest.mark.parametrize("first", [False, True], ids=["beside-one-process", "beside-processes"])
def test_a_second_colony_on_the_same_data_dir_is_refused(tmp_path, first, second):
    with Colony(str(tmp_path / "data"), first) as c:
        c.apply(echo_app(replicas=1))
        pids, everything = c.pids("echo"), c.all_pids()
        code, err = up_fails(tmp_path / "data", *second)
        assert code == 2 and str(tmp_path / "data") in err, (code, err)
        assert c.pids("echo") == pids and c.all_pids() == everything and c.echo()[2] == b"hello"


# ---- ports ----
@pytest.mark.parametrize("processes", [[], ["--processes"]], ids=["one-process", "processes"])
@pytest.mark.parametrize("door", ["http", "control"])
def test_a_port_that_is_taken(tmp_path, door, processes):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        address = f"127.0.0.1:{s.getsockname()[1]}"
        code, err = up_fails(tmp_path / "data", f"--{door}", address, *processes)
    assert code == 2 and address in err, (code, err)
    assert left_below(tmp_path) == []


@pytest.mark.parametrize("door", ["http", "control"])
def test_two_colonies_never_share_a_port(serving, tmp_path, door):
    address = getattr(serving, door)
    for shape in ([], ["--processes"]):
        code, err = up_fails(tmp_path / "data", f"--{door}", address, *shape)
        assert code == 2 and address in err and "in use" in err, (code, err)
    assert serving.echo()[2] == b"hello"


def left_below(folder):
    """Processes whose command line names a path below this folder."""
    left = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if str(folder).encode() + b"/" in f.read():
                    left.append(int(pid))
        except OSError:
            pass
    return left


def test_a_control_address_off_loopback_needs_a_token(tmp_path):
    code, err = up_fails(tmp_path / "data", "--control", "0.0.0.0:0")
    assert code == 2 and "--token-file" in err and "0.0.0.0:0" in err
    (tmp_path / "short").write_text("abc\n")
    code, err = up_fails(tmp_path / "data", "--control", "0.0.0.0:0", "--token-file", tmp_path / "short")
    assert code == 2 and "16 characters" in err


@pytest.mark.parametrize("processes", [False, True], ids=["one-process", "processes"])
def test_with_a_token_only_who_has_it_is_answered(tmp_path, processes):
    (tmp_path / "token").write_text("a-token-of-enough-length\n")
    (tmp_path / "wrong").write_text("another-token-of-that-length\n")
    with Colony(str(tmp_path / "data"), processes, ["--control", "0.0.0.0:0", "--token-file", str(tmp_path / "token")]) as c:
        c.control = "127.0.0.1:" + c.control.rsplit(":", 1)[1]
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "a-token-of-enough-length"}):
            status, reply = c.call("GET", "/api/v1/status", headers=headers)
            assert status == 401 and "token" in reply["error"], (status, reply)
        assert c.call("GET", "/api/v1/status", headers={"authorization": "Bearer a-token-of-enough-length"})[0] == 200
        assert c.call("GET", "/-/healthz")[0] in (200, 401)
        for arguments, code in (([], 2), (["--token-file", str(tmp_path / "wrong")], 2), (["--token-file", str(tmp_path / "token")], 0)):
            got, _, err = c.cli(*arguments, "status", check=False)
            assert got == code and ("token" in err) == (code != 0), (arguments, got, err)
        assert c.request("GET", "/-/healthz")[0] == 200, "requests need no token"


# ---- models ----
def bad_model(kind, folder):
    path = folder / "m.onnx"
    if kind == "corrupt":
        with open(os.path.join(ONNX, "slow.onnx"), "rb") as f:
            path.write_bytes(f.read()[:-200])
    elif kind == "not-onnx":
        path.write_text("#!/bin/sh\necho this is no model\n")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "directory":
        path.mkdir()
    return path


@pytest.mark.parametrize("kind, words", [("missing", "No such file or directory"), ("corrupt", "is truncated"), ("not-onnx", "is not an ONNX model"),
                                         ("empty", "is empty"), ("directory", "is a directory")])
def test_a_model_that_cannot_be_loaded_fails_by_itself(serving, tmp_path, kind, words):
    path = bad_model(kind, tmp_path)
    (tmp_path / "app.json").write_text(json.dumps({"applications": [onnx_app(path, kind)]}))
    code, _, err = serving.cli("apply", "-f", str(tmp_path / "app.json"), check=False)
    assert code == 1 and "DEPLOY_FAILED" in err and words in err and str(path) in err, (code, err)
    status = serving.status(kind)
    assert status["status"] == "DEPLOY_FAILED" and words in status["message"]
    replica = status["deployments"][0]["replicas"][0]
    assert words in replica["reason"] + replica["last_error"], replica
    assert serving.echo()[::2] == (200, b"hello")
    got, _, raw = serving.request("POST", f"/v2/models/{kind}/infer", b"{}", {"x-request-timeout-ms": "500"})
    assert got in (503, 504) and kind.encode() in raw, (got, raw)
    if path.is_dir():
        path.rmdir()
    shutil.copyfile(f"{ONNX}/scalar.onnx", path)  # the way out: put the model right, apply again
    serving.cli("delete", kind)
    serving.cli("apply", "-f", str(tmp_path / "app.json"))
    assert serving.request("GET", f"/v2/models/{kind}")[0] == 200
    serving.cli("delete", kind)


@pytest.mark.parametrize("env, words", [({"COLONY_ORT_LIBRARY": "/absent/libonnxruntime.so"}, "/absent/libonnxruntime.so"),
                                        ({"HOME": "/absent", "XDG_CACHE_HOME": "/absent"}, "pip install")])
def test_without_the_onnx_library_everything_else_works(tmp_path, env, words):
    with Colony(str(tmp_path / "data"), env=env) as c:
        c.apply(echo_app(replicas=1))
        (tmp_path / "app.json").write_text(json.dumps({"applications": [onnx_app(f"{ONNX}/scalar.onnx")]}))
        code, _, err = c.cli("apply", "-f", str(tmp_path / "app.json"), check=False)
        assert code == 1 and "ONNX Runtime's library was not found" in err and words in err, (code, err)
        assert c.echo()[::2] == (200, b"hello")
        found = {f["subject"]: f for f in json.loads(c.cli("--json", "doctor", check=False)[1])}
        assert found["onnxruntime"]["state"] == "WARN" and "pip install" in found["onnxruntime"]["detail"]


# ---- settings ----
def settings(*arguments, **env):
    code, out, err = colony_command("up", "--print-config", "--json", *arguments, env=env)
    assert code == 0, err
    return {key: (row["value"], row["source"]) for key, row in json.loads(out).items()}


def test_flag_before_variable_before_file_before_default(tmp_path):
    config = tmp_path / "colony.yaml"
    config.write_text("http: 127.0.0.1:1\nloops: 1\nlog_level: debug\norphan_timeout_s: 7\nprocesses: true\n")
    got = settings("--config", config, "--http", ":3", COLONY_HTTP="127.0.0.1:2", COLONY_LOOPS="2")
    assert got["http"] == ("127.0.0.1:3", "flag") and got["loops"] == ("2", "COLONY_LOOPS")
    assert got["log_level"] == ("debug", f"{config}:3") and got["processes"] == ("true", f"{config}:5")
    assert got["drain_timeout_s"] == ("30", "default")
    assert settings(COLONY_CONFIG=str(config))["orphan_timeout_s"] == ("7", f"{config}:4")
    text = colony_command("up", "--print-config", "--data-dir", tmp_path)[1]
    assert re.search(rf"data_dir: +{tmp_path} +# flag", text) and "# default" in text
    config.write_text(text)
    assert settings("--config", config)["data_dir"][0] == str(tmp_path), "what is printed is a config file"


def test_a_wrong_setting_names_its_place(tmp_path):
    config = tmp_path / "colony.yaml"
    config.write_text("http: 127.0.0.1:1\nhtpp: x\nloops: many\n")
    code, _, err = colony_command("up", "--config", config, env={"COLONY_LOG_LEVEL": "loud"})
    assert code == 2 and f"{config}:2" in err and "htpp" in err and f"{config}:3" in err and "COLONY_LOG_LEVEL" in err


# ---- up -d, down ----
@pytest.mark.parametrize("how", ["flag", "variable", "file", "processes"])
def test_up_detached_and_down(tmp_path, how):
    """Every setting is a flag, a variable and a key of the file: -d and -f, too."""
    data, config = tmp_path / "data", tmp_path / "colony.yaml"
    (tmp_path / "a.yaml").write_text("applications:\n- name: a\n  deployments: [{name: d, runtime: echo}]\n")
    config.write_text(f"detach: true\nfile: {tmp_path}/a.yaml\n")
    arguments = ["up", "--http", "127.0.0.1:0", "--control", "127.0.0.1:0", "--data-dir", data]
    arguments += {"flag": ["-df", tmp_path / "a.yaml"], "file": ["--config", config], "processes": ["-d", "--processes"]}.get(how, [])
    env = {"COLONY_DETACH": "true", "COLONY_FILE": str(tmp_path / "a.yaml")} if how == "variable" else {}
    code, out, err = colony_command(*arguments, env=env)
    assert code == 0, err
    pid, control = int(re.search(r"pid +(\d+)", out)[1]), re.search(r"control +http://(\S+)", out)[1]
    assert alive(pid) and str(data) in out and os.path.exists(re.search(r"log +(\S+)", out)[1])
    if how != "processes":
        colony_command("--address", control, "apply", "-f", tmp_path / "a.yaml")  # waits until it runs
        status = json.loads(colony_command("--address", control, "--json", "status", "a")[1])
        assert (status["status"], status["revision"]) == ("RUNNING", 1), status
    code, _, err = colony_command(*arguments, env=env)  # the same again
    assert code == 2 and str(data) in err, (code, err)
    assert colony_command("--address", control, "status")[0] == 0
    assert colony_command("down", env={"COLONY_ADDRESS": control})[0] == 0
    wait_until(lambda: not alive(pid), "colony ends")
    wait_until(lambda: left_below(tmp_path) == [], "nothing is left")
    code, _, err = colony_command("down", env={"COLONY_ADDRESS": control})
    assert code == 4 and control in err and "colony up" in err


# ---- run ----
ORT_OWN = ".ses"  # ONNX Runtime leaves this file in the temporary folder, whoever uses it


def started(*arguments, cwd=None, **env):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("COLONY_")}
    return subprocess.Popen([BINARY, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd, env={**clean, **env})


def line_with(process, words):
    seen = []
    for line in process.stdout:
        seen.append(line)
        if words in line:
            return line.strip()
    raise AssertionError(f"no {words!r} in {seen}: {process.stderr.read()}")


@pytest.mark.parametrize("name", ["scalar", "add_sub", "identity_bytes", "identity_fp16", "app"])
def test_run_prints_a_curl_line_that_works_and_ctrl_c_takes_all_away(tmp_path, name):
    what = f"{ONNX}/{name}.onnx"
    if name == "app":
        what = "app.yaml"
        (tmp_path / what).write_text("applications:\n- name: here\n  deployments: [{name: d, runtime: echo}]\n")
    process = started("run", what, "--http", "127.0.0.1:0", cwd=tmp_path, TMPDIR=str(tmp_path))
    try:
        line = line_with(process, "curl ")
        done = subprocess.run(["bash", "-c", line.replace("curl ", "curl -sS --fail-with-body ", 1)], capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0 and done.stdout, (line, done)
        if name in ("scalar", "add_sub", "identity_bytes"):
            assert json.loads(done.stdout)["outputs"], line
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(PATIENCE)
    assert code == 0, process.stderr.read()
    wait_until(lambda: left_below(tmp_path) == [], "no process is left")
    assert set(os.listdir(tmp_path)) - {ORT_OWN} == ({"app.yaml"} if name == "app" else set())


def test_run_of_a_model_that_cannot_be_loaded_ends_with_the_reason(tmp_path):
    (tmp_path / "m.onnx").write_text("no model")
    process = started("run", tmp_path / "m.onnx", "--http", "127.0.0.1:0", TMPDIR=str(tmp_path))
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1 and "is not an ONNX model" in err, (process.returncode, err)
    assert set(os.listdir(tmp_path)) - {ORT_OWN} == {"m.onnx"} and left_below(tmp_path) == []


# ---- the other verbs ----
def test_describe_as_yaml_goes_back_through_apply_without_a_change(serving, tmp_path):
    spec = {"name": "round", "route_prefix": "/r", "deployments": [
        {"name": "first", "runtime": "echo", "num_replicas": 1, "user_config": {"a": [1, {"b": None}], "c": "x: y"}, "max_queued_requests": 7},
        {"name": "second", "model": {"path": f"{ONNX}/scalar.onnx", "intra_op": 2}}]}
    serving.apply(spec)
    pids = serving.pids("round")
    _, text, _ = serving.cli("describe", "round", "--yaml")
    (tmp_path / "round.yaml").write_text(text)
    assert "no change" in serving.cli("apply", "--dry-run", "-f", str(tmp_path / "round.yaml"))[1]
    assert "no change" in serving.cli("apply", "-f", "-", stdin=text)[1]
    assert serving.pids("round") == pids
    assert serving.cli("describe", "round", "--yaml")[1] == text
    assert "first" in serving.cli("describe", "round")[1]
    serving.cli("delete", "round")


def test_scale_and_delete(serving):
    serving.apply(echo_app("sized", replicas=1))
    assert "scaled to 3" in serving.cli("scale", "sized/main", "3")[1]
    assert [r["state"] for r in serving.replicas("sized")].count("READY") == 3
    assert json.loads(serving.cli("--json", "scale", "sized", "1")[1])["revision"] > 1
    assert "sized deleted" in serving.cli("delete", "sized")[1]
    assert serving.status("sized") is None and serving.echo("sized")[0] == 404


def test_logs_and_logs_followed(serving):
    serving.apply(echo_app("talks", replicas=1))
    replica = serving.replicas("talks")[0]
    _, text, _ = serving.cli("logs", "talks")
    assert replica["id"] in text or text.strip(), "a replica says that it is ready"
    assert serving.cli("logs", "talks", "--replica", replica["id"], "--lines", "1")[1].strip()
    follow = subprocess.Popen([BINARY, "logs", "-f", "talks"], stdout=subprocess.PIPE, text=True, env={**os.environ, "COLONY_ADDRESS": serving.control})
    try:
        assert follow.stdout.readline()
        os.kill(replica["pid"], signal.SIGKILL)
        seen = wait_until(lambda: follow.stdout.readline(), "lines of the next incarnation")
        assert seen
    finally:
        follow.terminate()
        follow.wait(PATIENCE)
    serving.cli("delete", "talks")


def test_every_verb_prints_json(serving, tmp_path):
    spec = tmp_path / "app.json"
    spec.write_text(json.dumps({"applications": [echo_app("data", replicas=1)]}))
    np.save(tmp_path / "x.npy", np.array([1.5, 2], dtype=np.float32))
    verbs = {"apply": ["-f", str(spec)], "status": [], "describe": ["data"], "scale": ["data/main", "2"], "schema": [],
             "infer": ["data", "--npy", f"INPUT0={tmp_path}/x.npy"], "doctor": []}
    for verb, arguments in verbs.items():
        code, out, err = serving.cli("--json", verb, *arguments, check=False)
        assert code == 0 or verb == "doctor", (verb, code, err)
        json.loads(out)
    app = json.loads(serving.cli("--json", "status", "data")[1])
    assert {"name", "status", "revision", "deployments"} <= set(app)
    assert {"id", "state", "pid", "node", "restarts"} <= set(app["deployments"][0]["replicas"][0])
    assert json.loads(serving.cli("--json", "delete", "data")[1]) == {"name": "data", "deleted": True}


def test_infer_in_its_forms(serving, tmp_path):
    np.save(tmp_path / "x.npy", np.arange(6, dtype=np.int64).reshape(2, 3))
    (tmp_path / "raw").write_bytes(b"some bytes")
    assert serving.cli("infer", "echo", "--file", str(tmp_path / "raw"))[1].strip() == "some bytes"
    assert "5" in serving.cli("infer", "echo", "--npy", f"x={tmp_path}/x.npy")[1]
    tensor = {"inputs": [{"name": "x", "datatype": "INT8", "shape": [1], "data": [77]}]}
    assert "77" in serving.cli("infer", "echo", "--json", json.dumps(tensor))[1]


def test_doctor_says_fail_with_exit_code_1(tmp_path):
    code, out, _ = colony_command("doctor", "--data-dir", tmp_path)
    assert code in (0, 1) and ("FAIL" in out) == (code == 1), (code, out)
    os.makedirs(tmp_path / "ro")
    code, out, _ = colony_command("doctor", "--data-dir", tmp_path / "ro", prefix=["unshare", "-m", "sh", "-ec", READ_ONLY + '; exec "$@"', str(tmp_path / "ro")])
    assert code == 1 and re.search(r"FAIL +data dir +.*not writable", out), out


def test_up_with_applications_of_its_own(tmp_path):
    spec = tmp_path / "app.yaml"
    spec.write_text(f"applications:\n- name: a\n  deployments: [{{name: d, runtime: echo}}]\n- name: b\n  deployments: [{{name: d, model: {ONNX}/absent.onnx}}]\n")
    with Colony(str(tmp_path / "data"), args=["-f", str(spec)]) as c:
        c.wait_running("a")
        assert c.echo("a")[2] == b"hello"
        wait_until(lambda: (c.status("b") or {}).get("status") == "DEPLOY_FAILED", "the other one fails")
        wait_until(lambda: "absent.onnx" in c.errors(), "and that is said")
        with urllib.request.urlopen(f"http://{c.http}/-/routes", timeout=PATIENCE) as reply:
            assert json.load(reply)["/a"] == "a"


def test_a_second_ctrl_c_ends_at_once(tmp_path):
    c = Colony(str(tmp_path / "data"), args=["--drain-timeout-s", "600"]).start()
    c.apply(echo_app(replicas=1, graceful_shutdown_timeout_s=600))
    host, port = c.http.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as s:
        s.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        assert s.recv(1000)  # a request that does not end
        c.process.send_signal(signal.SIGINT)
        wait_until(lambda: "stops:" in c.errors(), "the drain begins")
        assert c.process.poll() is None
        begun = time.monotonic()
        c.process.send_signal(signal.SIGINT)
        assert c.process.wait(PATIENCE) == 130 and time.monotonic() - begun < 30
    wait_until(lambda: left_below(tmp_path) == [], "nothing is left")
