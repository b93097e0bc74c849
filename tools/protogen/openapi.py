"""OpenAPI 3.1 of the HTTP routes, from the contract and its comments."""

import json
import re

SCALARS = {"BOOL": {"type": "boolean"}, "INT32": {"type": "integer", "format": "int32"},
           "INT64": {"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"}, "DOUBLE": {"type": "number"},
           "STRING": {"type": "string"}, "BYTES": {"type": "string", "contentEncoding": "base64"}}
PROBLEM = {
    "type": "object", "description": "RFC 9457 problem details.",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What happened, with which value, and what to do."},
        "code": {"type": "string", "description": "The canonical gRPC code, such as ABORTED."},
        "reason": {"type": "string", "description": "The reason, such as VERSION_CONFLICT."},
        "errors": {"type": "array", "items": {"type": "object", "properties": {
            "field": {"type": "string"}, "message": {"type": "string"}}}},
        "expected_version": {"type": "integer"}, "current_version": {"type": "integer"},
        "request_id": {"type": "string"}}}


def short(name):
    return name.removeprefix("strata.v1.")


class Document:
    def __init__(self, contract):
        self.contract = contract
        self.schemas = {"Problem": PROBLEM}

    def field(self, field, response):
        if field.map:
            entry = self.contract.messages[field.type_name]
            schema = {"type": "object", "additionalProperties": self.field(entry.field("value"), response)}
            if field.json_number:
                schema["additionalProperties"] = {"type": "integer"}
        else:
            schema = self.single(field, response)
            if field.repeated:
                schema = {"type": "array", "items": schema}
        if field.comment:
            schema = {**schema, "description": field.comment} if "$ref" not in schema else \
                {"allOf": [schema], "description": field.comment}
        return schema

    def single(self, field, response):
        if field.raw_json:
            return {"type": "object", "description": "Any JSON object, kept token for token."} \
                if field.name in ("data", "metadata", "state", "initial_state", "set_metadata") else {}
        if field.decimal:
            return {"type": ["string", "number"]}
        if field.json_number:
            return {"type": "integer", "format": "int64"}
        if field.kind == "ENUM":
            values = self.contract.enums[field.type_name].values
            return {"type": "string", "enum": [name for name, _, _ in values]}
        if field.kind == "MESSAGE":
            if field.type_name == "google.protobuf.Timestamp":
                return {"type": "string", "format": "date-time"}
            if field.type_name == "google.protobuf.Duration":
                return {"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?s$"}
            return self.reference(field.type_name, response)
        schema = dict(SCALARS[field.kind])
        if field.kind == "INT64" and not response:
            schema = {"type": ["string", "integer"], "pattern": "^-?[0-9]+$"}
        return schema

    def reference(self, name, response):
        key = short(name)
        if key not in self.schemas:
            self.schemas[key] = {}
            message = self.contract.messages[name]
            properties = {f.name: self.field(f, response) for f in message.fields if not f.internal}
            self.schemas[key] = {"type": "object", "properties": properties}
            if not response:
                self.schemas[key]["additionalProperties"] = False
            if message.comment:
                self.schemas[key]["description"] = message.comment
        return {"$ref": "#/components/schemas/" + key}

    def operation(self, route, number):
        method = route.method
        bound = {field.name for _, field in route.segments if field is not None}
        headers = {f.name for f in method.request.fields if f.http_header}
        parameters = []
        for _, field in route.segments:
            if field is not None:
                parameters.append({"name": field.name, "in": "path", "required": True,
                                   "schema": self.field(field, False)})
        for field in method.request.fields:
            if field.http_header:
                parameters.append({"name": field.http_header, "in": "header", "required": False,
                                   "schema": {"type": "string"}})
        body = None
        if route.body == "*":
            schema = self.reference(method.request.name, False)
            body = {"required": True, "content": {"application/json": {"schema": schema}}}
        elif route.body:
            field = method.request.field(route.body)
            body = {"required": True, "content": {"application/json": {"schema": self.field(field, False)}}}
        if route.body != "*":
            for field in method.request.fields:
                if field.name in bound or field.name == route.body or field.internal or field.raw_json:
                    continue
                if field.kind == "MESSAGE" and field.type_name not in ("google.protobuf.Timestamp",
                                                                       "google.protobuf.Duration"):
                    continue
                parameters.append({"name": field.name, "in": "query", "required": False,
                                   "schema": self.field(field, False)})
        result = method.reply
        schema = self.reference(result.name, True)
        if route.response_body:
            schema = self.field(result.field(route.response_body), True)
        content = {"application/json": {"schema": schema}}
        if method.server_stream:
            content = {"text/event-stream": {"schema": {"type": "string"}},
                       "application/x-ndjson": {"schema": {"type": "string"}}}
        reply = {"description": "Done." if method.rule.http_success in (0, 200) else "Recorded.", "content": content}
        reply_headers = {f.http_header: {"schema": {"type": "string"}} for f in result.fields if f.http_header}
        if method.rule.http_location:
            reply_headers["Location"] = {"schema": {"type": "string"}}
        if reply_headers:
            reply["headers"] = reply_headers
        operation = {
            "operationId": method.name + (str(number) if number else ""),
            "tags": [method.service.rsplit(".", 1)[1]],
            "summary": re.split(r"(?<=[.:;])\s", method.comment or method.name, maxsplit=1)[0],
            "responses": {str(method.rule.http_success or 200): reply,
                          "default": {"description": "Refused or failed; the reason says why.", "content": {
                              "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}}}
        if any(f.http_header == "If-None-Match" for f in method.request.fields):
            operation["responses"]["304"] = {"description": "Not modified."}
        if method.name == "GetHealth":
            operation["responses"]["503"] = {"description": "Unhealthy.", "content": content}
        if method.comment:
            operation["description"] = method.comment
        if parameters:
            operation["parameters"] = parameters
        if body:
            operation["requestBody"] = body
        return operation

    def text(self):
        paths = {}
        for method in self.contract.methods:
            for number, route in enumerate(method.routes):
                paths.setdefault(route.path, {})[route.verb.lower()] = self.operation(route, number)
        return json.dumps({
            "openapi": "3.1.0",
            "info": {"title": "Strata", "version": "v1",
                     "description": "Event store and event-sourcing service. int64 positions are strings; times are "
                                    "RFC 3339 with microseconds; failures are application/problem+json.",
                     "license": {"name": "MIT", "identifier": "MIT"}},
            "servers": [{"url": "/"}],
            "paths": paths,
            "components": {"schemas": dict(sorted(self.schemas.items()))}}, indent=1) + "\n"


def document(contract):
    return Document(contract).text()
