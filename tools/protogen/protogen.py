"""Makes generated/ from proto/: protobuf-c code, tables of messages, methods and routes, OpenAPI, descriptor set.

    /usr/bin/python3 tools/protogen/protogen.py OUT

Run by scripts/generate with Debian's python3-protobuf. Refuses, by name, what the service could not serve.
"""

import pathlib
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2
from google.protobuf.compiler import plugin_pb2

import asyncapi
import examples
import model
import openapi
import reasons
import tables

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROTO = ROOT / "proto"
# google/protobuf, google/api with google/rpc, and grpc: where Debian's packages put them.
INCLUDES = ["/usr/include", "/usr/share/gocode/src/github.com/gogo/googleapis", "/usr/share/grpc-proto"]
THEIRS = ["google/rpc/status.proto", "google/rpc/error_details.proto", "grpc/health/v1/health.proto",
          "grpc/reflection/v1/reflection.proto", "grpc/reflection/v1alpha/reflection.proto"]
# Files that hold only options: protobuf-c has no use for them.
OPTION_FILES = {"google/api/annotations.proto", "google/api/http.proto", "google/protobuf/descriptor.proto",
                "strata/v1/options.proto"}


def our_files(proto=PROTO):
    return sorted(str(path.relative_to(proto)) for path in (proto / "strata/v1").glob("*.proto"))


def compile_descriptors(proto=PROTO, theirs=THEIRS):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "set.pb"
        subprocess.run(["protoc", *["-I%s" % path for path in (proto, *INCLUDES)], "--include_imports",
                        "--include_source_info", "--descriptor_set_out=%s" % out, *our_files(proto), *theirs],
                       check=True)
        files = descriptor_pb2.FileDescriptorSet()
        files.ParseFromString(out.read_bytes())
        return files


def without_options(message):
    """protoc-gen-c refuses proto3 `optional`; cleared, the synthetic oneof stays: same wire, presence in _case."""
    is_map = message.options.map_entry
    message.ClearField("options")
    if is_map:
        message.options.map_entry = True
    for field in message.field:
        field.ClearField("options")
        field.proto3_optional = False
    for inner in message.nested_type:
        without_options(inner)
    for enum in message.enum_type:
        for value in enum.value:
            value.ClearField("options")


def protobuf_c(files, out):
    request = plugin_pb2.CodeGeneratorRequest()
    for source in files.file:
        if source.name in OPTION_FILES:
            continue
        file = descriptor_pb2.FileDescriptorProto()
        file.CopyFrom(source)
        kept = [name for name in file.dependency if name not in OPTION_FILES]
        del file.dependency[:], file.public_dependency[:], file.weak_dependency[:]
        file.dependency.extend(kept)
        for part in ("options", "extension", "service", "source_code_info"):
            file.ClearField(part)
        for message in file.message_type:
            without_options(message)
        request.proto_file.append(file)
        request.file_to_generate.append(file.name)
    run = subprocess.run(["protoc-gen-c"], input=request.SerializeToString(), capture_output=True, check=True)
    response = plugin_pb2.CodeGeneratorResponse()
    response.ParseFromString(run.stdout)
    if response.error:
        raise SystemExit("protoc-gen-c: " + response.error)
    for file in response.file:
        path = out / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("/* Made from %s by scripts/generate; never edited. */\n%s" %
                        (file.name.split(".pb-c")[0] + ".proto", file.content))


def descriptor_set(files):
    """What reflection serves: the files without comments."""
    served = descriptor_pb2.FileDescriptorSet()
    served.CopyFrom(files)
    for file in served.file:
        file.ClearField("source_code_info")
    return served.SerializeToString(deterministic=True)


def descriptions(contract):
    """{"openapi": text, "asyncapi": text}."""
    told = examples.Examples.load(PROTO / "examples")
    table = reasons.read((ROOT / "src/base/status.h").read_text(), (PROTO / "reasons.json").read_text())
    calls, subscribe = openapi.document(contract, told, table)
    return {"openapi": calls, "asyncapi": asyncapi.document(contract, told, subscribe)}


def main():
    out = pathlib.Path(sys.argv[1])
    files = compile_descriptors()
    contract = model.Contract(files, our_files())
    protobuf_c(files, out)
    schema = out / "schema"
    schema.mkdir(parents=True, exist_ok=True)
    (schema / "schema_methods.h").write_text(tables.methods_header(contract))
    (schema / "schema_tables.c").write_text(tables.tables_source(contract))
    described = descriptions(contract)
    for name, document in described.items():
        (out / ("%s.json" % name)).write_text(document)
    (schema / "schema_blobs.c").write_text(tables.blobs_source(descriptor_set(files), described))


if __name__ == "__main__":
    main()
