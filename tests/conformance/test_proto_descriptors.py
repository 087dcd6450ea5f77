"""Our .proto files against the descriptors that the public Python packages carry: ours may leave out a message, a field or
a value, but whatever is there must have the same number, name, type, label, oneof and presence."""

import os
import subprocess
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from tritonclient.grpc import model_config_pb2, service_pb2

ROOT = Path(os.environ["COLONY_SOURCE_DIR"])
FIELD = descriptor_pb2.FieldDescriptorProto

# Ours, the package's file, and how the package's proto package is called there (v1 of the reflection protocol is v1alpha
# with another name; no Python package carries its descriptors alone).
PAIRS = [
    ("inference/grpc_service.proto", service_pb2, None),
    ("inference/model_config.proto", model_config_pb2, None),
    ("grpc/health/v1/health.proto", health_pb2, None),
    ("grpc/reflection/v1alpha/reflection.proto", reflection_pb2, None),
    ("grpc/reflection/v1/reflection.proto", reflection_pb2, ("grpc.reflection.v1alpha", "grpc.reflection.v1")),
]
# What must not be left out: the calls of the protocol and of the extensions that clients use.
SERVICES = {
    "inference/grpc_service.proto": {
        "GRPCInferenceService": {
            "ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer",
            "ModelStreamInfer", "ModelConfig", "ModelStatistics", "RepositoryIndex",
        }
    },
    "grpc/health/v1/health.proto": {"Health": {"Check", "Watch"}},
    "grpc/reflection/v1/reflection.proto": {"ServerReflection": {"ServerReflectionInfo"}},
    "grpc/reflection/v1alpha/reflection.proto": {"ServerReflection": {"ServerReflectionInfo"}},
}


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    out = tmp_path_factory.mktemp("protoc") / "all.pb"
    names = [name for name, _, _ in PAIRS]
    subprocess.run(["protoc", f"--proto_path={ROOT / 'proto'}", f"--descriptor_set_out={out}", *names], check=True)
    files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    return {f.name: f for f in files}


def published(module, rename):
    file = descriptor_pb2.FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
    if rename:
        file = text_format.Parse(str(file).replace(*rename), descriptor_pb2.FileDescriptorProto())
    return file


def messages(holder, prefix):
    nested = holder.message_type if hasattr(holder, "message_type") else holder.nested_type
    for m in nested:
        name = f"{prefix}.{m.name}"
        yield name, m
        yield from messages(m, name)


def enums(file, prefix):
    for e in file.enum_type:
        yield f"{prefix}.{e.name}", e
    for name, m in messages(file, prefix):
        for e in m.enum_type:
            yield f"{name}.{e.name}", e


def shape(message, field):
    return {
        "name": field.name,
        "type": FIELD.Type.Name(field.type),
        "type_name": field.type_name,
        "label": FIELD.Label.Name(field.label),
        "oneof": message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else None,
        "optional": field.proto3_optional,
        "packed": field.options.packed if field.options.HasField("packed") else None,
    }


@pytest.mark.parametrize("name, module, rename", PAIRS, ids=[p[0] for p in PAIRS])
def test_every_message_field_and_value_is_the_published_one(ours, name, module, rename):
    mine, theirs = ours[name], published(module, rename)
    assert (mine.package, mine.syntax) == (theirs.package, theirs.syntax)
    reference = dict(messages(theirs, theirs.package))
    checked = 0
    for full_name, message in messages(mine, mine.package):
        assert full_name in reference, f"{full_name} is not published"
        other = reference[full_name]
        assert message.options.map_entry == other.options.map_entry
        fields = {f.number: shape(other, f) for f in other.field}
        for field in message.field:
            assert field.number in fields, f"{full_name}.{field.name} = {field.number} is not published"
            assert shape(message, field) == fields[field.number], f"{full_name}.{field.name}"
            checked += 1
    values = dict(enums(theirs, theirs.package))
    for full_name, enum in enums(mine, mine.package):
        known = {v.number: v.name for v in values[full_name].value}
        for v in enum.value:
            assert known.get(v.number) == v.name, f"{full_name}.{v.name} = {v.number}"
            checked += 1
    assert checked > 2


@pytest.mark.parametrize("name, module, rename", PAIRS, ids=[p[0] for p in PAIRS])
def test_every_method_is_the_published_one(ours, name, module, rename):
    mine, theirs = ours[name], published(module, rename)
    reference = {
        (s.name, m.name): (m.input_type, m.output_type, m.client_streaming, m.server_streaming)
        for s in theirs.service
        for m in s.method
    }
    present = {}
    for s in mine.service:
        for m in s.method:
            key = (s.name, m.name)
            assert reference.get(key) == (m.input_type, m.output_type, m.client_streaming, m.server_streaming), key
            present.setdefault(s.name, set()).add(m.name)
    for service, wanted in SERVICES.get(name, {}).items():
        assert wanted <= present[service]


def test_a_request_of_the_published_client_means_the_same_to_ours(ours):
    pool = descriptor_pool.DescriptorPool()
    for name in ("inference/model_config.proto", "inference/grpc_service.proto"):
        pool.Add(ours[name])
    mine = message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelInferRequest"))
    sent = service_pb2.ModelInferRequest(model_name="m", id="7", raw_input_contents=[b"\0\1\2\3"])
    sent.parameters["p"].double_param = 0.5
    tensor = sent.inputs.add(name="x", datatype="FP32", shape=[1, -1])
    tensor.contents.fp32_contents.extend([1.5, 2.5])
    sent.outputs.add(name="y").parameters["classification"].int64_param = 3
    seen = mine.FromString(sent.SerializeToString())
    assert not [f for f, _ in seen.ListFields() if f.name not in
                ("model_name", "id", "parameters", "inputs", "outputs", "raw_input_contents")]
    assert service_pb2.ModelInferRequest.FromString(seen.SerializeToString()) == sent
