"""The wheel serves the file-type demo in a root that holds glibc and CPython alone: no header, no libstdc++, no network."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(os.environ["COLONY_SOURCE_DIR"])
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "colony"
EXAMPLE = ROOT / "examples" / "filetype"


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """The folder that the bare root sees: the wheel, what its extra needs, and the demo."""
    subprocess.run(["./dev", "wheel"], cwd=ROOT, check=True)
    folder = tmp_path_factory.mktemp("given")
    (wheel,) = (ROOT / "dist").glob("colony_serve-*.whl")
    for file in [wheel, *(CACHE / "wheels" / "onnx").glob("*.whl")]:
        shutil.copy(file, folder)
    shutil.copytree(EXAMPLE, folder / "filetype")
    return folder


def bare_root(given, script):
    """Starts a shell script in the bare root, its output in given/log."""
    with open(given / "log", "wb") as log:
        return subprocess.Popen([ROOT / "tools" / "wheel" / "bare_root", given, "bash", "-c", script], stdout=log,
                                stderr=subprocess.STDOUT, start_new_session=True)


def test_the_wheel_says_which_glibc_it_needs(given):
    (wheel,) = given.glob("colony_serve-*.whl")
    assert re.search(r"-py3-none-manylinux_2_\d+_x86_64\.whl$", wheel.name)


def test_the_demo_is_served_where_there_is_only_glibc_and_cpython(given):
    child = bare_root(given, """set -e
        test -z "$(ls -A /usr/include)"
        ! ls /usr/lib/x86_64-linux-gnu/libstdc++.so.6 2>/dev/null
        python3 -m venv /opt/colony
        /opt/colony/bin/pip install -q --no-compile --no-index --find-links /given "colony-serve[onnx]"
        /opt/colony/bin/colony doctor >/given/doctor || true
        exec /opt/colony/bin/colony up --http 127.0.0.1:0 --control 127.0.0.1:0 --data-dir /tmp/data \
            -f /given/filetype/app.yaml""")
    try:
        answer = None
        deadline = time.monotonic() + 180
        while answer is None and time.monotonic() < deadline and child.poll() is None:
            up = re.search(r"requests +(http://\S+)", (given / "log").read_text())
            if not up:
                time.sleep(0.2)
                continue
            try:
                request = urllib.request.Request(f"{up[1]}/filetype", data=(ROOT / "src" / "base" / "error.cc").read_bytes())
                with urllib.request.urlopen(request, timeout=5) as reply:
                    answer = json.load(reply)
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.2)
        assert answer is not None, "no answer; Colony said:\n" + (given / "log").read_text()[-4000:]
        assert answer["label"] in ("c", "cpp")
        assert answer["score"] > 0.5
        (found,) = [line for line in (given / "doctor").read_text().splitlines() if "onnxruntime" in line]
        assert found.startswith("OK") and "/site-packages/onnxruntime/capi/" in found
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGINT)
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
