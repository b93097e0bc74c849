"""OpenAPI 3.1 of the HTTP routes, from the contract and its comments."""

import copy
import json
import re

SCALARS = {"BOOL": {"type": "boolean"}, "INT32": {"type": "integer", "format": "int32"},
           "INT64": {"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"}, "DOUBLE": {"type": "number"},
           "STRING": {"type": "string"}, "BYTES": {"type": "string", "contentEncoding": "base64"}}
TIMES = {"google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
         "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?s$"}}
# What no id has: control characters and Unicode white space.
NEVER_IN_IDS = r"\x00-\x20\x7F-\xA0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000"
PROBLEM = {
    "type": "object", "description": "Why a request was refused or failed: RFC 9457 problem details.",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "description": "Always about:blank; `reason` tells problems apart."},
        "title": {"type": "string", "description": "The phrase of the HTTP status."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What happened, with which value, and what to do."},
        "code": {"type": "string", "description": "A canonical gRPC code, such as ABORTED."},
        "reason": {"type": "string", "description": "The reason, such as VERSION_CONFLICT."},
        "errors": {"type": "array", "description": "All faulty fields of the request.", "items": {
            "type": "object", "required": ["field", "message"], "properties": {
                "field": {"type": "string", "description": "Its path, such as events[2].aggregate_id."},
                "message": {"type": "string", "description": "What is wrong with it."},
                "pointer": {"type": "string", "description": "Where it stands in the body that was sent, as a JSON pointer "
                                                             "(RFC 6901): #/events/2/aggregate_id. Absent when it does not."}}}},
        "expected_version": {"type": "integer", "description": "What the request expected."},
        "current_version": {"type": "integer", "description": "What the aggregate is at."},
        "aggregate_id": {"type": "string", "description": "Which aggregate the versions are about."},
        "position": {"type": "string", "description": "CONDITION_FAILED: of an event that matches."},
        "request_id": {"type": "string", "description": "Also in the logs of the server."}}}
# Answers of 1 KiB and more, unless they have an ETag: the tag would name other bytes.
COMPRESSED = {"ContentEncoding": {
    "description": "gzip, when Accept-Encoding prefers it and the body has at least 1 KiB; a stream is compressed whole, and "
                   "flushed with every piece. Never of an answer of an aggregate, whose ETag names its bytes.",
    "schema": {"type": "string", "enum": ["gzip"]}}}
CODED = {"Content-Encoding": {"$ref": "#/components/headers/ContentEncoding"}}
TAGGED = {"ETag": {"description": "Of these bytes, compressed or not: for If-None-Match.", "schema": {"type": "string"}},
          "Cache-Control": {"description": "no-cache: ask whether it has changed.", "schema": {"type": "string"}}}
IF_NONE_MATCH = {"name": "If-None-Match", "in": "header", "required": False, "schema": {"type": "string"},
                 "description": "The ETag of what the client has. When it is still right the answer is 304 without a body."}


def own(identifier, summary, media_type, schema, answer, tagged=True, **more):
    """What the gateway serves beside the contract."""
    answers = {"200": {"description": answer, **({"headers": {**TAGGED, **CODED}} if tagged else {}),
                       "content": {media_type: {"schema": schema}}}}
    if tagged:
        answers["304"] = {"description": "Not modified: the etag is still right."}
    return {"get": {"operationId": identifier, "tags": ["Gateway"], "summary": summary,
                    **({"parameters": [IF_NONE_MATCH]} if tagged else {}), "responses": {**answers, **more}}}


TEXT = {"type": "string"}
GATEWAY = {
    "/livez": own("Livez", "The process runs.", "text/plain", TEXT, "It does.", tagged=False),
    "/readyz": own("Readyz", "The service can take requests.", "text/plain", TEXT, "It can.", tagged=False,
                   **{"503": {"description": "It cannot; the body says why.", "content": {"text/plain": {"schema": TEXT}}}}),
    "/openapi.json": own("OpenApi", "This document.", "application/json", {"type": "object"}, "It."),
    "/asyncapi.json": own("AsyncApi", "Frames of /ws and parts of event streams, as AsyncAPI 3.0.", "application/json",
                          {"type": "object"}, "The document."),
    "/docs": own("Docs", "This reference as a page, for people. It needs no network but this service.", "text/html", TEXT,
                 "The page.")}


def web_socket(subscribe):
    """/ws takes what Subscribe takes."""
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    nothing = {"name": "subscribe", "in": "query", "required": False, "description": "`none`: open no subscription; frames will.",
               "schema": {"type": "string", "enum": ["none"]}}
    after = {"name": "after_position", "in": "query", "required": False, "schema": {"type": "string", "pattern": "^[0-9]+$"},
             "description": "Begin after this position; 0 is the first event."}
    return {"get": {
        "operationId": "WebSocket", "tags": ["Gateway"], "summary": "Opens a WebSocket of live events.",
        "description": "Bare it delivers every event from now on; with after_position=N everything after N, without a gap. "
                       "The other parameters are those of Subscribe. Frames are JSON texts: /asyncapi.json describes them.\n\n"
                       "Filter, origin and token are checked before the upgrade; what is wrong with them is answered here.",
        "parameters": [after, nothing, *(dict(p) for p in subscribe["parameters"] if p["in"] == "query")],
        "responses": {"101": {"description": "The connection is a WebSocket now."},
                      "401": {"description": "The token is not accepted.", "content": dict(problem)},
                      "403": {"description": "A page of this origin may not connect.", "content": dict(problem)},
                      "426": {"description": "The request asked for no WebSocket.", "content": dict(problem)},
                      "default": {"description": "Refused or failed.", "content": dict(problem)}}}}


def sentence(comment):
    """The first sentence of a comment, for summaries."""
    return re.split(r"(?<=[.:;])\s", " ".join(comment.split()), maxsplit=1)[0]


def prose(comment):
    """Comments are wrapped where the editor wrapped them; paragraphs are what counts."""
    return "\n\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", comment))


def nullable(schema):
    """A member that may be left out may be null too, which is the same."""
    if "$ref" in schema:
        rest = {name: value for name, value in schema.items() if name != "$ref"}
        return {"anyOf": [{"$ref": schema["$ref"]}, {"type": "null"}], **rest}
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    if "type" in schema:
        return {**schema, "type": [*([schema["type"]] if isinstance(schema["type"], str) else schema["type"]), "null"]}
    return schema


class Document:
    def __init__(self, contract):
        self.contract = contract
        self.schemas = {"Problem": PROBLEM}
        requests, replies = set(), set()
        for method in contract.methods:
            self._reach(method.request, requests)
            self._reach(method.reply, replies)
        for name, seen in (("strata.v1.WsRequest", requests), ("strata.v1.WsMessage", replies)):
            if name in contract.messages:
                self._reach(contract.messages[name], seen)
        self.both = requests & replies

    def _reach(self, message, seen):
        if message.name in seen:
            return
        seen.add(message.name)
        for field in message.fields:
            if field.kind == "MESSAGE":
                self._reach(self.contract.messages[field.type_name], seen)

    @staticmethod
    def shape(field, may_be_empty):
        """The JSON Schema of an id or a type name. Bytes count, so the greatest length in characters is only a bound."""
        never = NEVER_IN_IDS + ("/" if field.shape == "TYPE" else "")
        first = "." if field.may_be_system else "$."
        # Not "." and not "..", without looking ahead: what follows one or two dots is written out.
        pattern = r"[^{0}{1}][^{1}]*|\.[^.{1}][^{1}]*|\.\.[^{1}]+".format(first, never)
        pattern = ("^(%s)?$" if may_be_empty else "^(%s)$") % pattern
        return {"type": "string", **({} if may_be_empty else {"minLength": 1}), "maxLength": 255, "pattern": pattern}

    def request_rules(self, field, schema):
        """What the contract's options demand of a field of a request."""
        if field.minimum is not None and schema.get("type") == "integer":
            schema["minimum"] = field.minimum
        elif field.minimum is not None:  # an int64, as a string or a number
            schema["pattern"] = "^[0-9]+$" if field.minimum == 0 else "^[1-9][0-9]*$"
            schema["minimum"] = field.minimum
        return schema

    def field(self, field, response):
        if field.map:
            value = self.contract.messages[field.type_name].field("value")
            inner = {"type": "integer"} if field.json_number else self.single(value, response)
            schema = {"type": "object", "additionalProperties": inner}
        else:
            schema = self.single(field, response)
            if not response:
                schema = self.request_rules(field, schema)
            if field.repeated:
                schema = {"type": "array", "items": schema}
                if not response and field.min_items:
                    schema["minItems"] = field.min_items
                if not response and field.max_items:
                    schema["maxItems"] = field.max_items
        return {**schema, "description": prose(field.comment)} if field.comment else schema

    def single(self, field, response):
        if field.raw_json:
            return {} if field.name.endswith("_value") else {"type": "object"}
        if field.decimal:
            return {"type": ["string", "number"]}
        if field.json_number:
            return {"type": "integer", "format": "int64"}
        if field.kind == "ENUM":
            values = self.contract.enums[field.type_name].values
            names, numbers = [name for name, _, _ in values], [number for _, number, _ in values]
            return {"type": "string", "enum": names} if response else {"enum": [*names, *numbers, *map(str, numbers)]}
        if field.kind == "MESSAGE":
            return dict(TIMES.get(field.type_name) or self.reference(field.type_name, response))
        if field.kind == "INT64" and not response:
            return {"type": ["string", "integer"], "pattern": "^-?[0-9]+$"}
        if field.shape and not response:
            return self.shape(field, field.may_be_empty)
        return dict(SCALARS[field.kind])

    def reference(self, name, response, without=()):
        """A component for the message; `without` the fields that the path gives. Unknown members of a request are
        refused, so its schema is closed; a reply may grow. What is part of both has two."""
        key = name.removeprefix("strata.v1.") + ("Body" if without else "") + \
            ("Given" if name in self.both and not response else "")
        if key not in self.schemas:
            message = self.contract.messages[name]
            self.schemas[key] = schema = {"type": "object"}
            if message.comment:
                schema["description"] = prose(message.comment)
            schema["properties"] = {f.name: self.member(f, response) for f in message.fields
                                    if not f.internal and f.name not in without}
            required = [f.name for f in message.fields if f.required and f.name not in without]
            if required and not response:
                schema["required"] = required
            if not response:
                schema["additionalProperties"] = False
        return {"$ref": "#/components/schemas/" + key}

    def member(self, field, response):
        schema = self.field(field, response)
        return schema if response or field.required else nullable(schema)

    def query_parameters(self, message, bound, prefix=""):
        out = []
        for field in message.fields:
            name = prefix + field.name
            if name in bound or field.internal or field.raw_json or field.map:
                continue
            if field.kind == "MESSAGE" and field.type_name not in TIMES:
                if not field.repeated:
                    out += self.query_parameters(self.contract.messages[field.type_name], bound, name + ".")
                continue
            out.append({"name": name, "in": "query", "required": False, **self.parameter_schema(field)})
        return out

    def parameter_schema(self, field):
        schema = self.field(field, False)
        description = schema.pop("description", "")
        return {**({"description": description} if description else {}), "schema": schema}

    def parameters(self, route):
        request = route.method.request
        out = [self.path_parameter(field) for field in route.variables]
        out += [self.header_parameter(field, "member" if route.body == "*" else "query parameter")
                for field in request.fields if field.http_header]
        if route.body != "*":
            out += self.query_parameters(request, {*self.elsewhere(route), route.body})
        return out

    @staticmethod
    def elsewhere(route):
        """Fields that path and headers give; given twice they must agree, so each is described once."""
        return tuple([f.name for f in route.variables] + [f.name for f in route.method.request.fields if f.http_header])

    def path_parameter(self, field):
        parameter = {"name": field.name, "in": "path", "required": True, **self.parameter_schema(field)}
        if field.shape:
            parameter["schema"] = self.shape(field, False)
        return parameter

    def header_parameter(self, field, otherwise):
        parameter = {"name": field.http_header, "in": "header", "required": False, **self.parameter_schema(field)}
        parameter["description"] = "%s Also read as the %s `%s`." % (parameter.get("description", ""), otherwise, field.name)
        if otherwise == "query parameter":
            parameter["x-query-name"] = field.name
        return parameter

    def body(self, route):
        request = route.method.request
        if not route.body:
            return None
        schema = self.reference(request.name, False, self.elsewhere(route)) if route.body == "*" else \
            self.field(request.field(route.body), False)
        required = any(field not in route.variables for field in request.fields)  # else the path has said it all
        return {"required": required, "content": {"application/json": {"schema": schema}}}

    def success(self, route):
        method, reply = route.method, route.method.reply
        schema = self.reference(reply.name, True)
        if route.response_body:
            schema = self.single(reply.field(route.response_body), True)
        content = {"application/json": {"schema": schema}}
        if method.server_stream:
            content = {"text/event-stream": {"schema": {"type": "string"}},
                       "application/x-ndjson": {"schema": schema}}
        elif any(field.name == "next_page_token" for field in reply.fields):
            items = next(field for field in reply.fields if field.repeated and field.kind == "MESSAGE")
            content["application/x-ndjson"] = {"schema": self.single(items, True)}
        headers = {field.http_header: self.parameter_schema(field) for field in reply.fields if field.http_header}
        if method.rule.http_location:
            headers["Location"] = {"description": "Where it is: %s." % method.rule.http_location,
                                   "schema": {"type": "string"}}
        what = {201: "Recorded; durable.", 202: "Accepted.", 204: "Done."}.get(method.rule.http_success, "The answer.")
        if "ETag" not in headers:
            headers.update(CODED)
        return {"description": what, **({"headers": headers} if headers else {}), "content": content}

    def operation(self, route, number):
        method = route.method
        success = self.success(route)
        responses = {str(method.rule.http_success or 200): success}
        if method.rule.http_success not in (0, 200) and method.request.field("validate_only"):
            content = success["content"]
            responses["200"] = {"description": "With validate_only: what would be done. Nothing was.", "content": content}
        headers = {field.http_header for field in method.request.fields}
        if "If-None-Match" in headers:
            responses["304"] = {"description": "Not modified: the etag is still right."}
        if method.name == "GetHealth":
            responses["503"] = {**success, "description": "Unhealthy; the body says why."}
        responses["default"] = {"description": "Refused or failed; `reason` and `detail` say why.", "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}
        names = "And".join("".join(p.title() for p in f.name.split("_")) for f in route.variables)
        operation = {"operationId": method.name + ("By" + names if number else ""),
                     "tags": [method.service.rsplit(".", 1)[1]], "summary": sentence(method.comment),
                     "description": prose(method.comment)}
        parameters, body = self.parameters(route), self.body(route)
        if parameters:
            operation["parameters"] = parameters
        if body:
            operation["requestBody"] = body
        return {**operation, "responses": responses}

    def paths(self):
        paths = {}
        for method in self.contract.methods:
            for number, route in enumerate(method.routes):
                paths.setdefault(route.path, {})[route.verb.lower()] = self.operation(route, number)
        paths.update(copy.deepcopy(GATEWAY))
        subscribe = next((m for m in self.contract.methods if m.name == "Subscribe"), None)
        if subscribe is not None:
            paths["/ws"] = web_socket(paths[subscribe.routes[0].path]["get"])
        return copy.deepcopy(paths)  # nothing in it is shared: examples are put into each place

    def text(self, paths, reasons):
        self.reference("strata.v1.WsRequest", False)
        self.reference("strata.v1.WsMessage", True)
        self.schemas["Problem"] = {**PROBLEM, "x-reasons": reasons}
        tags = [{"name": name.rsplit(".", 1)[1], "description": prose(comment)}
                for name, comment in self.contract.service_comments.items()]
        return json.dumps({
            "openapi": "3.1.0",
            "info": {"title": "Strata", "version": "v1", "license": {"name": "MIT", "identifier": "MIT"},
                     "description": "An event store and event-sourcing service. Positions and other int64 are strings, "
                                    "counters of statistics numbers; times are RFC 3339 in UTC with microseconds; "
                                    "members are written with their names below and read in camelCase too; an unknown "
                                    "member or query parameter is refused; a member that may be left out may be null. A trailing slash is optional everywhere. Large "
                                    "answers come compressed to who takes gzip; a body that arrives compressed is refused "
                                    "with 415. Every example was answered by a real service; the examples of a call, its "
                                    "parameters and its answer have one name."},
            "servers": [{"url": "/"}],
            "tags": tags + [{"name": "Gateway", "description": "What the HTTP side serves beside the contract."}],
            "paths": paths,
            "components": {"schemas": dict(sorted(self.schemas.items())), "headers": COMPRESSED}}, indent=1) + "\n"


def document(contract, examples, reasons):
    """The text, and the operation of Subscribe for AsyncAPI."""
    made = Document(contract)
    paths = made.paths()
    examples.add_to(paths)
    return made.text(paths, reasons), paths["/api/v1/events/subscribe"]["get"]
