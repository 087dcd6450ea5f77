#!/usr/bin/env python3
"""Writes the tiny ONNX models beside it, as protobuf bytes, without the onnx package. Usage: generate.py.

Field numbers are those of onnx.proto (github.com/onnx/onnx). The files are committed; run this after changing it.
"""
import pathlib
import struct

HERE = pathlib.Path(__file__).parent

FLOAT, UINT8, INT8, UINT16, INT16, INT32, INT64, STRING, BOOL, FLOAT16, DOUBLE, UINT32, UINT64, COMPLEX64 = range(1, 15)
BFLOAT16 = 16
TYPES = {
    "bool": BOOL, "uint8": UINT8, "uint16": UINT16, "uint32": UINT32, "uint64": UINT64, "int8": INT8, "int16": INT16,
    "int32": INT32, "int64": INT64, "fp16": FLOAT16, "bf16": BFLOAT16, "fp32": FLOAT, "fp64": DOUBLE, "bytes": STRING,
}


def varint(n: int) -> bytes:
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def block(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(data)) + data


def tensor_type(element: int, shape) -> bytes:
    dims = b"".join(block(1, number(1, d) if isinstance(d, int) else block(2, d)) for d in shape)
    return block(1, number(1, element) + block(2, dims))  # TypeProto.tensor_type


def value(name: str, type_proto: bytes) -> bytes:
    return block(1, name) + block(2, type_proto)


def tensor(name: str, element: int, shape, raw: bytes) -> bytes:  # an initializer
    return b"".join(number(1, d) for d in shape) + number(2, element) + block(8, name) + block(9, raw)


def attribute_int(name: str, n: int) -> bytes:
    return block(1, name) + number(3, n) + number(20, 2)


def node(op: str, inputs, outputs, *attributes: bytes) -> bytes:
    return (b"".join(block(1, i) for i in inputs) + b"".join(block(2, o) for o in outputs) + block(4, op)
            + b"".join(block(5, a) for a in attributes))


def model(nodes, inputs, outputs, initializers=(), opset=17) -> bytes:
    graph = (b"".join(block(1, n) for n in nodes) + block(2, "graph") + b"".join(block(5, t) for t in initializers)
             + b"".join(block(11, v) for v in inputs) + b"".join(block(12, v) for v in outputs))
    return number(1, 8) + block(2, "colony tests") + block(7, graph) + block(8, block(1, "") + number(2, opset))


def write(name: str, data: bytes) -> None:
    (HERE / f"{name}.onnx").write_bytes(data)


def main() -> None:
    for name, element in TYPES.items():  # x [n, 2] -> y
        write(f"identity_{name}", model([node("Identity", ["x"], ["y"])], [value("x", tensor_type(element, ["n", 2]))],
                                        [value("y", tensor_type(element, ["n", 2]))]))
    # Two inputs with a free dimension, two outputs.
    free = tensor_type(FLOAT, ["n"])
    write("add_sub", model([node("Add", ["a", "b"], ["sum"]), node("Sub", ["a", "b"], ["difference"])],
                           [value("a", free), value("b", free)], [value("sum", free), value("difference", free)]))
    scalar = tensor_type(FLOAT, [])
    write("scalar", model([node("Neg", ["x"], ["y"])], [value("x", scalar)], [value("y", scalar)]))
    unknown = block(1, number(1, FLOAT))  # a tensor type without a shape: of any rank
    write("unknown_rank", model([node("Neg", ["x"], ["y"])], [value("x", unknown)], [value("y", unknown)]))
    # An output that is a sequence of tensors: cannot be served.
    sequence = block(4, block(1, tensor_type(FLOAT, ["n"])))  # TypeProto.sequence_type
    write("sequence_output", model([node("SequenceConstruct", ["x"], ["y"])], [value("x", free)], [value("y", sequence)]))
    # An element type that the Open Inference Protocol does not have.
    odd = tensor_type(COMPLEX64, ["n"])
    write("complex_input", model([node("Identity", ["x"], ["y"])], [value("x", odd)], [value("y", odd)]))
    # Fails inside the graph: a lookup of row x in a table of 4 rows.
    write("gather", model([node("Gather", ["table", "x"], ["y"], attribute_int("axis", 0))],
                          [value("x", tensor_type(INT64, ["n"]))], [value("y", free)],
                          [tensor("table", FLOAT, [4], struct.pack("<4f", 0, 10, 20, 30))]))
    # Runs for as many rounds as asked for: y = x * 1.0 in a loop. For cancellation.
    body = (block(1, node("Identity", ["keep"], ["keep_out"])) + block(1, node("MatMul", ["acc", "m"], ["acc_out"]))
            + block(2, "body") + block(11, value("i", tensor_type(INT64, []))) + block(11, value("keep", tensor_type(BOOL, [])))
            + block(11, value("acc", tensor_type(FLOAT, [64, 64]))) + block(12, value("keep_out", tensor_type(BOOL, [])))
            + block(12, value("acc_out", tensor_type(FLOAT, [64, 64]))))
    loop = node("Loop", ["rounds", "", "m"], ["y"], block(1, "body") + block(6, body) + number(20, 5))
    write("slow", model([loop], [value("rounds", tensor_type(INT64, [])), value("m", tensor_type(FLOAT, [64, 64]))],
                        [value("y", tensor_type(FLOAT, [64, 64]))]))


if __name__ == "__main__":
    main()
