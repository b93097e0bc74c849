"""The C tables of src/schema/schema.h."""

import json

NOTE = "/* Made from proto/ by scripts/generate; never edited. */\n"


def symbol(name):
    return name.replace(".", "_").lower()


def text(value):
    return json.dumps(value) if value else "NULL"


def snake(word):
    """protobuf-c's spelling of a message type inside a symbol: CamelCase to camel_case."""
    out = ""
    for i, letter in enumerate(word):
        if letter.isupper() and i > 0:
            out += "_"
        out += letter.lower()
    return out


def descriptor(name):
    return "__".join(snake(part) for part in name.split(".")) + "__descriptor"


def methods_header(contract):
    lines = [NOTE, "#pragma once\n", "enum schema_method_id {"]
    lines += ["    %s," % method.enum for method in contract.methods]
    lines += ["};\n", "#define SCHEMA_METHOD_COUNT %d" % len(contract.methods), ""]
    return "\n".join(lines)


def flags(field):
    names = [("repeated", "REPEATED"), ("map", "MAP"), ("presence", "PRESENCE"), ("raw_json", "RAW_JSON"),
             ("decimal", "DECIMAL"), ("json_number", "JSON_NUMBER"), ("internal", "INTERNAL")]
    return " | ".join("SCHEMA_" + flag for name, flag in names if getattr(field, name)) or "0"


def tables_source(contract):
    messages = contract.reachable()
    enums = sorted({f.type_name for m in messages for f in m.fields if f.kind == "ENUM"})
    files = sorted({file_of(contract, m.request.name) for m in contract.methods} |
                   {file_of(contract, m.reply.name) for m in contract.methods})
    out = [NOTE, '#include "schema/schema.h"\n']
    out += ['#include "%s"' % file for file in files] + [""]
    for name in enums:
        enum = contract.enums[name]
        out.append("static const struct schema_enum_value values_%s[] = {" % symbol(name))
        out += ["    {%s, %d}," % (text(value), number) for value, number, _ in enum.values]
        out.append("};")
        out.append("static const struct schema_enum enum_%s = {%s, values_%s, %d};\n" %
                   (symbol(name), text(name), symbol(name), len(enum.values)))
    for message in messages:
        out += message_table(contract, message)
    for name, wanted in (("ws_request", "WsRequest"), ("ws_message", "WsMessage"), ("event", "Event")):
        out.append("const struct schema_message *const schema_%s = &message_%s;" %
                   (name, symbol("strata.v1." + wanted)))
    out += ["", "const struct schema_method schema_methods[SCHEMA_METHOD_COUNT] = {"]
    out += [method_row(method) for method in contract.methods] + ["};\n"]
    for i, route in enumerate(contract.routes):
        out.append("static const struct schema_segment segments_%d[] = {" % i)
        for literal, field in route.segments:
            if field is None:
                out.append("    {%s, NULL}," % text(literal))
            else:
                place = route.method.request.fields.index(field)
                out.append("    {NULL, &fields_%s[%d]}," % (symbol(route.method.request.name), place))
        out.append("};")
    out += ["", "const struct schema_route schema_routes[] = {"]
    for i, route in enumerate(contract.routes):
        out.append("    {%s, %s, segments_%d, %d, %s, %s, %s}," % (
            text(route.verb), text(route.path), i, len(route.segments), route.method.enum, text(route.body),
            text(route.response_body)))
    out += ["};", "const size_t schema_route_count = %d;" % len(contract.routes), ""]
    return "\n".join(out)


def file_of(contract, name):
    return contract.files[name]


def message_table(contract, message):
    out, name = [], symbol(message.name)
    if message.fields:
        out.append("static const struct schema_field fields_%s[] = {" % name)
        for f in message.fields:
            inner = "&message_" + symbol(f.type_name) if f.kind == "MESSAGE" else "NULL"
            values = "&enum_" + symbol(f.type_name) if f.kind == "ENUM" else "NULL"
            out.append("    {%d, %s, %s, SCHEMA_%s, %s, %d, %s, %s, %s}," % (
                f.number, text(f.name), text(f.json_name), f.kind, flags(f), f.oneof, inner, values,
                text(f.http_header)))
        out.append("};")
    if message.oneofs:
        out.append("static const char *const oneofs_%s[] = {%s};" % (name, ", ".join(map(text, message.oneofs))))
    out.append("static const struct schema_message message_%s = {%s, SCHEMA_%s, %s, %d, %s, %d};\n" % (
        name, text(message.name), message.special, "fields_" + name if message.fields else "NULL",
        len(message.fields), "oneofs_" + name if message.oneofs else "NULL", len(message.oneofs)))
    return out


def method_row(method):
    rule = method.rule
    boolean = lambda value: "true" if value else "false"
    return ("    [%s] = {%s, %s, &message_%s, &message_%s,\n        &%s, &%s,\n"
            "        %s, %s, (enum schema_role)%d, (enum schema_rate)%d, %d, %s, %s, %s}," % (
                method.enum, text(method.path), text(method.name), symbol(method.request.name),
                symbol(method.reply.name), descriptor(method.request.name), descriptor(method.reply.name),
                boolean(method.client_stream), boolean(method.server_stream), rule.role, rule.rate,
                rule.http_success or 200, boolean(rule.mutating), boolean(rule.retry_safe), text(rule.http_location)))


def byte_lines(data):
    return ["    " + ",".join(str(byte) for byte in data[i:i + 32]) + "," for i in range(0, len(data), 32)]


def blobs_source(descriptors, document):
    out = [NOTE, '#include "schema/schema.h"\n', "const uint8_t schema_descriptor_set[] = {", *byte_lines(descriptors),
           "};", "const size_t schema_descriptor_set_bytes = %d;\n" % len(descriptors),
           "const char schema_openapi_json[] = {"]
    content = document.encode()
    out += ["    " + ",".join(str(byte if byte < 128 else byte - 256) for byte in content[i:i + 32]) + ","
            for i in range(0, len(content), 32)]
    out += ["    0,", "};", "const size_t schema_openapi_json_bytes = %d;" % len(content), ""]
    return "\n".join(out)
