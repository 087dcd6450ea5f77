#!/usr/bin/env python3
"""Tensors as JSON: megabytes of request body per second of one core, from bytes to typed memory and back, in Colony's codec and in
what a Python server does with the same bytes (FastAPI's way: json.loads, then pydantic; and json.dumps).

    ./dev bench json [--seconds 0.5]

Prints a Markdown table for docs/benchmarks.md. The bodies are the same: one tensor of 150,528 numbers (an image of 224 x 224 x 3)
unless a row says otherwise."""

import sys

sys.path.pop(0)  # this folder holds a json.py, which is not the library's

import argparse
import json
import math
import struct
import subprocess
import time
from pathlib import Path

from pydantic import BaseModel

ROOT = Path(__file__).resolve().parent.parent
ELEMENTS = 150_528


class Tensor(BaseModel):
    name: str
    datatype: str
    shape: list[int]
    data: list[float] | list[int]


class Request(BaseModel):
    inputs: list[Tensor]


def body(datatype, n):
    if datatype == "FP32":
        data = [struct.unpack("f", struct.pack("f", math.sin(i)))[0] for i in range(n)]
        data = [float(f"{v:.8g}") for v in data]
    else:
        data = [i * 7919 % 100_003 for i in range(n)]
    return json.dumps({"inputs": [{"name": "x", "datatype": datatype, "shape": [1, n], "data": data}]},
                      separators=(",", ":")).encode()


def rate(work, size, seconds):
    """MB/s of process time."""
    turns, begun = 0, time.process_time()
    while (spent := time.process_time() - begun) < seconds:
        work()
        turns += 1
    return turns * size / spent / 1e6


def colony(seconds):
    subprocess.run([ROOT / "dev", "build", "release-test", "bench_runtime"], check=True, stdout=sys.stderr)
    out = subprocess.run([ROOT / "build/release-test/bench_runtime", "--benchmark_format=json",
                          f"--benchmark_min_time={seconds}", "--benchmark_filter=read_|write_"],
                         capture_output=True, text=True, check=True).stdout
    return {b["name"]: b for b in json.loads(out)["benchmarks"]}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=0.5, help="of each measurement")
    seconds = options.parse_args().seconds
    ours = colony(seconds)
    python = {}
    for datatype in ("FP32", "INT64"):
        raw = body(datatype, ELEMENTS)
        document = json.loads(raw)
        python["read", datatype] = rate(lambda: json.loads(raw), len(raw), seconds)
        python["model", datatype] = rate(lambda: Request.model_validate(json.loads(raw)), len(raw), seconds)
        python["write", datatype] = rate(lambda: json.dumps(document), len(raw), seconds)
    print("| JSON, MB/s of one core | Colony | Python json | json + pydantic (FastAPI) |\n|---|---|---|---|")
    for datatype in ("FP32", "INT64"):
        for verb in ("read", "write"):
            mine = ours[f"{verb}_json/{datatype}/{ELEMENTS}"]["bytes_per_second"] / 1e6
            model = f"{python['model', datatype]:,.0f}" if verb == "read" else ""
            print(f"| {verb} {datatype} | {mine:,.0f} | {python[verb, datatype]:,.0f} | {model} |")
    print("\n| one tensor in Colony | us | MB/s |\n|---|---|---|")
    for name, b in ours.items():
        print(f"| {name} | {b['cpu_time'] / 1000:,.2f} | {b['bytes_per_second'] / 1e6:,.0f} |")


if __name__ == "__main__":
    main()
