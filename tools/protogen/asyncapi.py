"""AsyncAPI 3.0 of what flows: frames of /ws, Server-Sent Events and NDJSON lines of a subscription.

Which frames there are, and which member goes with which, is read from the comments of websocket.proto: `type` and `action`
name them in quotes, and a member that goes with some begins with `With "a" and "b":`.
"""

import json
import re

import openapi
from model import Refused

SSE, NDJSON = "text/event-stream", "application/x-ndjson"
SUBSCRIBE = "/api/v1/events/subscribe"


def quoted(text):
    return re.findall(r'"(\w+)"', text)


def members_of(message, kind):
    """Fields that go with a frame of this kind; those that name no kind go with all."""
    for field in message.fields:
        condition = re.match(r"With (.*?):", " ".join(field.comment.split()))
        if condition is None or kind in quoted(condition.group(1)):
            yield field


class Frames:
    """The kinds of frames of one direction, from the comment of the field that tells them apart."""

    def __init__(self, contract, message, tag):
        self.message = contract.messages[message]
        self.tag = self.message.field(tag)
        self.kinds = quoted(self.tag.comment)
        for field in self.message.fields:
            condition = re.match(r"With (.*?):", " ".join(field.comment.split()))
            for kind in quoted(condition.group(1)) if condition else []:
                if kind not in self.kinds:
                    raise Refused("%s.%s" % (message, field.name), "goes with \"%s\", which %s does not name" % (kind, tag))


class Document:
    def __init__(self, contract, examples, subscribe):
        """`subscribe`: the operation of OpenAPI whose parameters are those of every subscription."""
        self.examples = examples
        self.schemas = openapi.Document(contract)
        self.schemas.schemas.clear()
        self.from_client = Frames(contract, "strata.v1.WsRequest", "action")
        self.from_server = Frames(contract, "strata.v1.WsMessage", "type")
        self.parts = contract.messages["strata.v1.SubscribeResponse"]
        self.subscribe = subscribe
        self.messages = {}

    def schema(self, field, response):
        """References have no members beside them in the dialect of AsyncAPI."""
        return bare(self.schemas.field(field, True) if response else self.schemas.member(field, False))

    def frame(self, frames, kind, response):
        properties = {}
        for field in members_of(frames.message, kind):
            properties[field.name] = {"const": kind} if field is frames.tag else self.schema(field, response)
        required = [name for name in properties if name != "filter"]
        key = "Ws" + "".join(part.title() for part in kind.split("_"))
        examples = self.examples.frames_of("receive" if response else "send", frames.tag.name, kind)
        told = dict(self.stream_parts()).get(kind)
        self.messages[key] = {"name": kind, "title": "%s %s" % (kind, "from the server" if response else "to the server"),
                              "summary": self.about(kind, told) if told else examples[0]["summary"], "contentType": "application/json",
                              "payload": {"type": "object", "required": required, "properties": properties,
                                          **({} if response else {"additionalProperties": False})},
                              "examples": examples}
        return key

    def stream_parts(self):
        """(kind, field that holds it). A batch is sent as single events."""
        for field in self.parts.fields:
            yield ("event", self.schemas.contract.messages[field.type_name].field("events")) if field.name == "batch" else \
                (field.name, field)

    @staticmethod
    def about(kind, field):
        return "One event." if kind == "event" else openapi.prose(field.comment)

    def part(self, prefix, media_type, kind, field):
        content = bare(self.schemas.single(field, True))
        if media_type == SSE:
            name = {} if kind == "event" else {"event": {"const": kind, "description": "Absent with an event."}}
            headers = {"type": "object", "properties": {
                **name, "id": {"type": "string", "description": "The position: what a browser sends as Last-Event-ID."}}}
            payload = content
        else:
            headers, payload = None, {"type": "object", "required": [kind], "properties": {kind: content}}
        key = prefix + "".join(part.title() for part in kind.split("_"))
        examples = self.examples.parts_of(media_type, kind)
        self.messages[key] = {"name": kind, "title": "%s as %s" % (kind, "a Server-Sent Event" if media_type == SSE else "a line"),
                              "summary": self.about(kind, field), "contentType": media_type,
                              **({"headers": headers} if headers else {}), "payload": payload, "examples": examples}
        return key

    def query(self):
        """The query parameters of a subscription, as one schema."""
        return {"type": "object", "properties": {
            p["name"]: bare({**p["schema"], **({"description": p["description"]} if p.get("description") else {})})
            for p in self.subscribe["parameters"] if p["in"] == "query"}}

    @staticmethod
    def channel(address, title, description, keys, bindings):
        return {"address": address, "title": title, "description": description,
                "messages": {key: {"$ref": "#/components/messages/" + key} for key in keys}, "bindings": bindings}

    def text(self):
        sent = [self.frame(self.from_client, kind, False) for kind in self.from_client.kinds]
        received = [self.frame(self.from_server, kind, True) for kind in self.from_server.kinds]
        sse = [self.part("Sse", SSE, *part) for part in self.stream_parts()]
        lines = [self.part("Ndjson", NDJSON, *part) for part in self.stream_parts()]
        query, http = self.query(), {"http": {"bindingVersion": "0.3.0"}}
        url = {"ws": {"method": "GET", "query": query, "bindingVersion": "0.1.0"}}
        prose = openapi.prose(self.subscribe["description"])
        channels = {
            "webSocket": self.channel("/ws", "WebSocket", "Text frames, many subscriptions on one connection. It begins with one "
                                      "called default, whose filter and start are the query parameters; with subscribe=none it "
                                      "begins with none.", sent + received, url),
            "serverSentEvents": self.channel(SUBSCRIBE, "Server-Sent Events", prose, sse, http),
            "ndjson": self.channel(SUBSCRIBE, "NDJSON", "The same stream for who asks with Accept: application/x-ndjson: one object "
                                   "a line, with one member that says what it is.", lines, http)}
        query["properties"]["subscribe"] = {"const": "none", "description": "Begin without a subscription; frames open them."}
        operation = lambda action, channel, keys, summary: {
            "action": action, "channel": {"$ref": "#/channels/" + channel}, "summary": summary,
            "messages": [{"$ref": "#/channels/%s/messages/%s" % (channel, key)} for key in keys]}
        return json.dumps({
            "asyncapi": "3.0.0",
            "info": {"title": "Strata streams", "version": "v1", "license": {"name": "MIT"},
                     "description": "Events as they are recorded, from a point of the past or from now on. Calls that are "
                                    "answered once are in /openapi.json."},
            "defaultContentType": "application/json",
            "servers": {"local": {"host": "localhost:8080", "protocol": "ws", "description": "As it is shipped."},
                        "localHttp": {"host": "localhost:8080", "protocol": "http", "description": "As it is shipped."}},
            "channels": channels,
            "operations": {
                "takeFrames": operation("receive", "webSocket", sent, "What a client may send."),
                "sendFrames": operation("send", "webSocket", received, "What the server sends."),
                "sendServerSentEvents": operation("send", "serverSentEvents", sse, "What a stream of Server-Sent Events holds."),
                "sendLines": operation("send", "ndjson", lines, "What a stream of lines holds.")},
            "components": {"messages": self.messages,
                           "schemas": {name: bare(schema) for name, schema in sorted(self.schemas.schemas.items())}}},
            indent=1) + "\n"


def bare(schema):
    """The same schema in JSON Schema draft 7, where a reference has no members beside it."""
    if isinstance(schema, list):
        return [bare(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema and len(schema) > 1:
        return {"allOf": [{"$ref": schema["$ref"]}], **{name: bare(inner) for name, inner in schema.items() if name != "$ref"}}
    return {name: bare(inner) for name, inner in schema.items()}


def document(contract, examples, subscribe):
    return Document(contract, examples, subscribe).text()
