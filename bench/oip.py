#!/usr/bin/env python3
"""Inference of one number by the Open Inference Protocol: Colony with its echo runtime against Triton 2.51 with a C++ backend that
does nothing either (bench/peers/triton_noop.cc), over REST and gRPC. Arms take turns within every round.

    ./dev bench oip [--rounds 5] [--seconds 1] [--connections 1,16,64] [--protocols http,grpc] [--layouts one,share]
                    [--numbers 1] [--quick]

Layouts: `one`, everything on one core, the load too; `share`, the load on one core, all of the arm on the other. gRPC: one stream on each connection. --numbers 150528 with
--protocols http: a tensor of so many FP32 numbers as JSON (an image of 224 x 224 x 3), and how many megabytes of it a second of CPU
takes in and gives back. Prints a section for docs/benchmarks.md."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # this folder holds modules that are not the library's

import shutil
import statistics
import tempfile

from bench.common import arms
from bench.common.measure import BUILD, cpu_table, flags, in_turn, load, print_head, say, table

TRITON = arms.CACHE / "third_party/nvidia_pytriton/pytriton/tritonserver"
MODEL = """name: "echo"
backend: "noop"
max_batch_size: 0
input [ { name: "x" data_type: TYPE_FP32 dims: [ -1 ] } ]
output [ { name: "x" data_type: TYPE_FP32 dims: [ -1 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""
WORKLOADS = {"http": ["oip,model=echo"], "grpc": ["grpc,model=echo"]}


class Triton(arms.Arm):
    def __init__(self, folder, layout="share"):
        super().__init__("triton", folder, layout)
        self.grpc_port = arms.free_port()
        (self.dir / "models/echo/1").mkdir(parents=True)
        (self.dir / "models/echo/config.pbtxt").write_text(MODEL)
        (self.dir / "backends/noop").mkdir(parents=True)
        shutil.copy(BUILD / "libtriton_noop.so", self.dir / "backends/noop")
        command = [TRITON / "bin/tritonserver", f"--model-repository={self.dir}/models", f"--backend-directory={self.dir}/backends"]
        command += ["--http-address=127.0.0.1", f"--http-port={self.port}", "--grpc-address=127.0.0.1", f"--grpc-port={self.grpc_port}"]
        command += ["--allow-metrics=false", "--log-info=false", "--exit-timeout-secs=5", f"--cache-directory={TRITON}/caches"]
        self.front = self.spawn(command, self.front_core)
        self.wait("/v2/models/echo/ready")


def body_bytes(numbers):
    """As the load generator makes it: a stamp of 7 digits, then numbers of 10 characters and their commas."""
    return len(f'{{"inputs":[{{"name":"x","shape":[{numbers}],"datatype":"FP32","data":[]}}]}}') + 7 + 11 * (numbers - 1)


def speak(arm, protocol):
    """The same server, by the protocol of this run."""
    arm.protocol = "h2" if protocol == "grpc" else "h1"
    arm.address = f"127.0.0.1:{getattr(arm, 'grpc_port', arm.port) if protocol == 'grpc' else arm.port}"
    return arm


def main():
    args = flags(__doc__, rounds=5, connections="1,16,64", protocols="http,grpc", layouts="one,share", numbers="1")
    if args.numbers != "1":
        if args.protocols != "http":
            raise SystemExit("--numbers is for --protocols http")
        WORKLOADS["http"] = [f"oip,model=echo,numbers={args.numbers}"]
    protocols, connections = args.protocols.split(","), [int(c) for c in args.connections.split(",")]
    print_head("Open Inference Protocol", f"{args.rounds} rounds of {args.seconds:g} s, interleaved; medians, ratios per round.")
    for layout in args.layouts.split(","):
        with tempfile.TemporaryDirectory(prefix="colony-bench-") as folder:
            running = arms.start_all(folder, [lambda f: arms.Colony("colony", f, layout), lambda f: Triton(f, layout)])
            try:
                results = {(p, c, a.name): [] for p in protocols for c in connections for a in running}
                for number in range(args.rounds):
                    for protocol, count, arm in ((p, c, a) for p in protocols for c in connections for a in in_turn(running, number)):
                        one = load(speak(arm, protocol), WORKLOADS[protocol], layout, seconds=args.seconds, connections=count)
                        results[protocol, count, arm.name].append(one)
                    say(f"{layout}: round {number + 1} of {args.rounds}")
            finally:
                arms.stop_all(running)
        print(f"### Layout `{layout}`\n\n" + cpu_table(results, ["triton"], ["protocol", "connections"]) + "\n")
        if args.numbers != "1":
            size = body_bytes(int(args.numbers))
            rows = [[str(c), arm, f"{statistics.median(size / r['cpu'] for r in rounds):,.0f}"] for (_, c, arm), rounds in results.items()]
            print(f"A body of {size / 1e6:.2f} MB, in and out:\n\n" + table(["connections", "arm", "MB of request/s of CPU"], rows) + "\n")


if __name__ == "__main__":
    main()
