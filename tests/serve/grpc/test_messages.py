"""The compiled ``inference.pb`` against its source, and against the descriptors that tritonclient ships."""

import importlib.util
import subprocess
import sys
from importlib.resources import files

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from tritonclient.grpc import model_config_pb2, service_pb2

from dashdeploy.serve.grpc.messages import SERVICE, message_classes, rpcs


def public_message(path):
    """The public protocol's descriptor of a message; a dot leads into a message."""
    messages = {
        **service_pb2.DESCRIPTOR.message_types_by_name,
        **model_config_pb2.DESCRIPTOR.message_types_by_name,
    }
    outer, *inner = path.split(".")
    found = messages[outer]
    for name in inner:
        found = found.nested_types_by_name[name]
    return found


def type_name(field):
    described = field.message_type or field.enum_type
    return described and described.full_name


def oneof_name(field):
    return field.containing_oneof and field.containing_oneof.name


@pytest.mark.skipif(importlib.util.find_spec("grpc_tools") is None, reason="grpcio-tools is not installed")
def test_the_compiled_file_is_that_of_the_source(tmp_path):
    folder = files("dashdeploy.serve.grpc")
    compiled = tmp_path / "inference.pb"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={folder}", "inference.proto"]
    subprocess.run([*command, f"--descriptor_set_out={compiled}"], check=True)
    ours, fresh = (
        FileDescriptorSet.FromString(path.read_bytes()) for path in (folder / "inference.pb", compiled)
    )
    assert ours == fresh, "run `make proto`"


def test_the_schema_agrees_with_the_public_one_number_by_number():
    for path, ours in message_classes().items():
        theirs = public_message(path)
        numbers = {field.name: (field.number, field.is_repeated) for field in theirs.fields}
        kinds = {field.name: field.type for field in theirs.fields}
        types = {field.name: type_name(field) for field in theirs.fields}
        oneofs = {field.name: oneof_name(field) for field in theirs.fields}
        for field in ours.DESCRIPTOR.fields:
            assert numbers[field.name] == (field.number, field.is_repeated), f"{path}.{field.name}"
            assert kinds[field.name] == field.type, f"{path}.{field.name}"
            assert types[field.name] == type_name(field), f"{path}.{field.name}"
            assert oneofs[field.name] == oneof_name(field), f"{path}.{field.name}"
    values = {value.name: value.number for value in model_config_pb2.DataType.DESCRIPTOR.values}
    ours = message_classes()["ModelInput"].DESCRIPTOR.fields_by_name["data_type"].enum_type
    assert {value.name: value.number for value in ours.values} == values


def test_the_values_of_nested_enumerations_are_the_public_ones():
    ours = message_classes()["ModelInstanceGroup"].DESCRIPTOR.enum_types_by_name["Kind"]
    theirs = model_config_pb2.ModelInstanceGroup.DESCRIPTOR.enum_types_by_name["Kind"]
    assert {value.name: value.number for value in ours.values} == {
        value.name: value.number for value in theirs.values
    }


def test_the_rpcs_are_the_public_ones():
    public = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert public.full_name == SERVICE
    ours = rpcs()
    assert len(ours) == 12
    for rpc in ours:
        theirs = public.methods_by_name[rpc.name]
        assert rpc.request.DESCRIPTOR.full_name == theirs.input_type.full_name
        assert rpc.response.DESCRIPTOR.full_name == theirs.output_type.full_name
        assert rpc.streaming == theirs.server_streaming == theirs.client_streaming


def test_the_messages_live_beside_those_of_a_client():
    ours, theirs = message_classes()["ModelInferRequest"], service_pb2.ModelInferRequest
    assert ours is not theirs
    assert ours.DESCRIPTOR.file.pool is not theirs.DESCRIPTOR.file.pool
    request = theirs(model_name="m", id="7", raw_input_contents=[b"1234"])
    request.inputs.add(name="x", datatype="FP32", shape=[1]).parameters["p"].int64_param = 3
    assert ours.FromString(request.SerializeToString()).SerializeToString(deterministic=True) == (
        request.SerializeToString(deterministic=True)
    )
