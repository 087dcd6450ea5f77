"""cmake --install makes a prefix whose binary runs from where it is put, with its libraries and headers."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(os.environ["COLONY_SOURCE_DIR"])


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    build = Path(os.environ["COLONY_BINARY"]).parent
    first = tmp_path_factory.mktemp("install")
    subprocess.run(["cmake", "--install", build, "--prefix", first], check=True, capture_output=True)
    moved = tmp_path_factory.mktemp("elsewhere") / "prefix"
    shutil.move(first, moved)
    return moved


def test_the_binary_runs_from_a_prefix_that_was_moved(prefix):
    version = (ROOT / "include" / "colony" / "version.h").read_text().split('"')[1]
    result = subprocess.run([prefix / "bin" / "colony", "--version"], check=True, capture_output=True, text=True)
    assert version in result.stdout


def test_the_shared_libraries_come_from_the_prefix(prefix):
    listing = subprocess.run(["ldd", prefix / "bin" / "colony"], check=True, capture_output=True, text=True).stdout
    fmt = next(line for line in listing.splitlines() if "libfmt" in line)
    assert "/lib/colony/libfmt" in fmt


def test_an_installed_header_compiles_alone(prefix, tmp_path):
    source = tmp_path / "a.cc"
    source.write_text('#include <colony/version.h>\nstatic_assert(sizeof(COLONY_VERSION) > 1);\n')
    subprocess.run(["clang++-19", "-std=c++23", "-fsyntax-only", "-I", prefix / "include", source], check=True)
