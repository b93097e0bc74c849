"""The C tables of src/schema/schema.h."""

import json
import re

NOTE = "/* Made from proto/ by scripts/generate; never edited. */\n"


def text(value):
    return json.dumps(value) if value else "NULL"


def snake(word):
    """protobuf-c's spelling of a type inside a symbol: CamelCase to camel_case."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", word).lower()


def symbol(name):
    """strata.v1.NewEvent to new_event: the prefix of ours says nothing inside one file."""
    return "_".join(snake(part) for part in name.removeprefix("strata.v1.").split("."))


def descriptor(name):
    return "__".join(snake(part) for part in name.split(".")) + "__descriptor"


def structure(name):
    return "__".join(part[0].upper() + part[1:] for part in name.split("."))


def methods_header(contract):
    lines = [NOTE, "#pragma once\n", "enum schema_method_id {"]
    lines += ["    %s," % method.enum for method in contract.methods]
    lines += ["};\n", "#define SCHEMA_METHOD_COUNT %d" % len(contract.methods), ""]
    return "\n".join(lines)


def flags(field):
    names = [("repeated", "REPEATED"), ("map", "MAP"), ("presence", "PRESENCE"), ("raw_json", "RAW_JSON"),
             ("decimal", "DECIMAL"), ("json_number", "JSON_NUMBER"), ("internal", "INTERNAL")]
    return " | ".join("SCHEMA_" + flag for name, flag in names if getattr(field, name)) or "0"


def enum_table(enum):
    name = symbol(enum.name)
    return ["static const struct schema_enum_value values_%s[] = {" % name,
            *["    {%s, %d}," % (text(value), number) for value, number, _ in enum.values],
            "};",
            "static const struct schema_enum enum_%s = {%s, values_%s, %d};\n" %
            (name, text(enum.name), name, len(enum.values))]


def field_row(field):
    return "    {%d, %s, %s, SCHEMA_%s, %s, %d, %s, %s, %s}," % (
        field.number, text(field.name), text(field.json_name), field.kind, flags(field), field.oneof,
        "&message_" + symbol(field.type_name) if field.kind == "MESSAGE" else "NULL",
        "&enum_" + symbol(field.type_name) if field.kind == "ENUM" else "NULL", text(field.http_header))


def message_table(message):
    name, out = symbol(message.name), []
    if not message.fields:
        return ["static const struct schema_message message_%s = {.name = %s, .unpacked_bytes = sizeof(%s)};\n" %
                (name, text(message.name), structure(message.name))]
    out += ["static const struct schema_field fields_%s[] = {" % name, *map(field_row, message.fields), "};"]

    places = [0] * (message.fields[-1].number + 1)
    for place, field in enumerate(message.fields):
        places[field.number] = place + 1
    out.append("static const uint8_t places_%s[] = {%s};" % (name, ", ".join(map(str, places))))

    spellings = sorted({(spelling, place) for place, field in enumerate(message.fields)
                        for spelling in (field.name, field.json_name)}, key=lambda pair: (len(pair[0]), pair[0]))
    out.append("static const struct schema_name names_%s[] = {" % name)
    out += ["    {%s, %d, %d}," % (text(spelling), len(spelling), place) for spelling, place in spellings]
    out.append("};")

    if message.oneofs:
        out.append("static const char *const oneofs_%s[] = {%s};" % (name, ", ".join(map(text, message.oneofs))))
    # protobuf-c allocates one array for each repeated field, rounded up to 16 bytes.
    arrays = sum(field.repeated for field in message.fields)
    out += ["static const struct schema_message message_%s = {" % name,
            "    %s, SCHEMA_%s, fields_%s, %d, %s, %d," % (
                text(message.name), message.special, name, len(message.fields),
                "oneofs_" + name if message.oneofs else "NULL", len(message.oneofs)),
            "    names_%s, %d, places_%s, %d, sizeof(%s) + 16 * %d," % (
                name, len(spellings), name, len(places), structure(message.name), arrays),
            "};\n"]
    return out


def method_row(method):
    rule = method.rule
    boolean = lambda value: "true" if value else "false"
    return ("    [%s] = {%s, %s, %s,\n        &message_%s, &message_%s,\n        &%s,\n        &%s,\n"
            "        %s, %s, (enum schema_role)%d, (enum schema_rate)%d, %d, %s, %s, %s}," % (
                method.enum, text(method.path), text(method.service), text(method.name),
                symbol(method.request.name), symbol(method.reply.name),
                descriptor(method.request.name), descriptor(method.reply.name),
                boolean(method.client_stream), boolean(method.server_stream), rule.role, rule.rate,
                rule.http_success or 200, boolean(rule.mutating), boolean(rule.retry_safe), text(rule.http_location)))


def route_tables(contract):
    out = []
    for i, route in enumerate(contract.routes):
        fields, request = route.method.request.fields, symbol(route.method.request.name)
        out.append("static const struct schema_segment segments_%d[] = {" % i)
        for literal, field in route.segments:
            out.append("    {NULL, &fields_%s[%d]}," % (request, fields.index(field)) if field is not None
                       else "    {%s, NULL}," % text(literal))
        out.append("};")
    out += ["", "const struct schema_route schema_routes[] = {"]
    for i, route in enumerate(contract.routes):
        out.append("    {%s, %s, segments_%d, %d, %s, %s, %s}," % (
            text(route.verb), text(route.path), i, len(route.segments), route.method.enum, text(route.body),
            text(route.response_body)))
    return out + ["};", "const size_t schema_route_count = %d;" % len(contract.routes), ""]


def tables_source(contract):
    messages = contract.described()
    enums = sorted({f.type_name for m in messages for f in m.fields if f.kind == "ENUM"})
    out = [NOTE, '#include "schema/schema.h"\n']
    out += ['#include "%s"' % header for header in sorted({contract.headers[m.name] for m in messages})] + [""]
    for name in enums:
        out += enum_table(contract.enums[name])
    for message in messages:
        out += message_table(message)
    out.append("const struct schema_message *const schema_messages[] = {")
    out += ["    &message_%s," % symbol(m.name) for m in sorted(messages, key=lambda m: m.name)]
    out += ["};", "const size_t schema_message_count = %d;\n" % len(messages)]
    for name, wanted in (("ws_request", "WsRequest"), ("ws_message", "WsMessage"), ("event", "Event")):
        out.append("const struct schema_message *const schema_%s = &message_%s;" % (name, symbol("strata.v1." + wanted)))
    out += ["", "const struct schema_method schema_methods[SCHEMA_METHOD_COUNT] = {"]
    out += [method_row(method) for method in contract.methods] + ["};\n"]
    return "\n".join(out + route_tables(contract))


def byte_lines(values):
    return ["    " + ",".join(map(str, values[i:i + 32])) + "," for i in range(0, len(values), 32)]


def document_blob(name, document):
    content = document.encode("ascii")
    return ["const char schema_%s_json[] = {" % name, *byte_lines(list(content) + [0]), "};",
            "const size_t schema_%s_json_bytes = %d;\n" % (name, len(content))]


def blobs_source(descriptors, documents):
    return "\n".join([
        NOTE, '#include "schema/schema.h"\n',
        "const uint8_t schema_descriptor_set[] = {", *byte_lines(list(descriptors)), "};",
        "const size_t schema_descriptor_set_bytes = %d;\n" % len(descriptors),
        *[line for name, document in documents.items() for line in document_blob(name, document)]]) + "\n"
