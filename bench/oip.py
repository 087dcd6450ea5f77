#!/usr/bin/env python3
"""Inference of one number by the Open Inference Protocol: Colony with its echo runtime against Triton 2.51 with a C++ backend that
does nothing either (bench/peers/triton_noop.cc), over REST and gRPC. Arms take turns within every round.

    ./dev bench oip [--rounds 5] [--seconds 1] [--connections 1,16,64] [--protocols http,grpc] [--quick]

Layout `share`: the load on one core, all of the arm on the other. gRPC: one stream on each connection. Prints a section for
docs/benchmarks.md."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # this folder holds modules that are not the library's

import shutil
import tempfile

from bench.common import arms
from bench.common.measure import BUILD, cpu_table, flags, in_turn, load, print_head, say

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


def speak(arm, protocol):
    """The same server, by the protocol of this run."""
    arm.protocol = "h2" if protocol == "grpc" else "h1"
    arm.address = f"127.0.0.1:{getattr(arm, 'grpc_port', arm.port) if protocol == 'grpc' else arm.port}"
    return arm


def main():
    args = flags(__doc__, rounds=5, connections="1,16,64", protocols="http,grpc")
    print_head("Open Inference Protocol", f"Layout `share`; {args.rounds} rounds of {args.seconds:g} s, interleaved; medians.")
    with tempfile.TemporaryDirectory(prefix="colony-bench-") as folder:
        running = []
        try:
            running = arms.start_all(folder, [lambda f: arms.Colony("colony", f), Triton])
            results = {}
            for protocol in args.protocols.split(","):
                for count in map(int, args.connections.split(",")):
                    for arm in running:
                        results[protocol, count, arm.name] = []
            for number in range(args.rounds):
                for protocol in args.protocols.split(","):
                    for count in map(int, args.connections.split(",")):
                        for arm in in_turn(running, number):
                            one = load(speak(arm, protocol), WORKLOADS[protocol], seconds=args.seconds, connections=count)
                            results[protocol, count, arm.name].append(one)
                say(f"round {number + 1} of {args.rounds}")
            print(cpu_table(results, ["triton"], ["protocol", "connections"]))
        finally:
            arms.stop_all(running)


if __name__ == "__main__":
    main()
