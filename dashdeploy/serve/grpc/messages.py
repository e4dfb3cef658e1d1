"""Protocol Buffers classes made from `grpc_schema`, in a descriptor pool of their own.

A process that also holds a client's copy of the protocol (tritonclient's, say) would otherwise have two
definitions of the same names in the default pool, which Protocol Buffers refuses.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from dashdeploy.serve.grpc.schema import ENUMS, MESSAGES, PACKAGE

_SCALARS = ("bool", "int32", "int64", "uint32", "uint64", "float", "double", "string", "bytes")


def message_classes() -> dict[str, Any]:
    """The class of every message, by its name within the package."""
    file = FileDescriptorProto(name="dashdeploy/inference.proto", package=PACKAGE, syntax="proto3")
    for name, values in ENUMS.items():
        enum = file.enum_type.add(name=name)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
    made: dict[str, DescriptorProto] = {}
    for name, fields in MESSAGES.items():
        outer, _, inner = name.rpartition(".")
        made[name] = made[outer].nested_type.add(name=inner) if outer else file.message_type.add(name=inner)
        _add_fields(made[name], name, fields)
    pool = DescriptorPool()
    pool.Add(file)
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in MESSAGES}


def _add_fields(message: DescriptorProto, path: str, fields: str) -> None:
    for line in filter(None, fields.split("; ")):
        number, name, *kind = line.split()
        if number == "oneof":  # of all fields that follow in this message
            message.oneof_decl.add(name=name)
            continue
        field = message.field.add(name=name, number=int(number), label=FieldDescriptorProto.LABEL_OPTIONAL)
        if message.oneof_decl:
            field.oneof_index = 0
        if kind[0] == "map":
            entry = _add_map_entry(message, name, kind[1])
            field.label = FieldDescriptorProto.LABEL_REPEATED
            _set_type(field, f"{path}.{entry}")
        else:
            if kind[0] == "repeated":
                field.label = FieldDescriptorProto.LABEL_REPEATED
            _set_type(field, kind[-1], enum="enum" in kind)


def _add_map_entry(message: DescriptorProto, field: str, value_type: str) -> str:
    """A map is a repeated message of a key and a value, whose name Protocol Buffers prescribes."""
    name = "".join(part.capitalize() for part in field.split("_")) + "Entry"
    entry = message.nested_type.add(name=name)
    entry.options.map_entry = True
    for number, (part, kind) in enumerate((("key", "string"), ("value", value_type)), start=1):
        _set_type(entry.field.add(name=part, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL), kind)
    return name


def _set_type(field: FieldDescriptorProto, kind: str, *, enum: bool = False) -> None:
    if kind in _SCALARS:
        field.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
    else:
        field.type = FieldDescriptorProto.TYPE_ENUM if enum else FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{kind}"
