"""Makes the calls of rows over gRPC and over HTTP. The HTTP form of a call is worked out from the contract's options
(google.api.http, http_header, raw_json), by code that has nothing of the gateway's."""

import base64
import http.client
import json
import re
import threading
import urllib.parse

import grpc
from google.protobuf import json_format

from support.strata_rpc import (Client, Failure, aggregate_service_pb2, event_service_pb2, snapshot_service_pb2,
                                system_service_pb2)  # which also makes the modules below
from google.api import annotations_pb2
from strata.v1 import options_pb2

MODULES = (aggregate_service_pb2, event_service_pb2, snapshot_service_pb2, system_service_pb2)
METHODS = {method.name: method for module in MODULES
           for service in module.DESCRIPTOR.services_by_name.values() for method in service.methods}
OPAQUE = "base64"  # what JSON has for the bytes of another content type


def field_rule(field):
    return field.GetOptions().Extensions[options_pb2.field]


def is_repeated(field):
    return field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED


# --- requests ---

def as_bytes(text):
    return text.encode() if isinstance(text, str) else text


def for_parse_dict(message, value):
    """`value` as json_format wants it: JSON texts are bytes fields, in base64."""
    done = {}
    for name, one in value.items():
        field = message.fields_by_name[name]
        if field.type == field.TYPE_BYTES:
            one = base64.b64encode(as_bytes(one)).decode()
        elif field.message_type is not None and not field.message_type.full_name.startswith("google."):
            one = [for_parse_dict(field.message_type, each) for each in one] if is_repeated(field) else \
                for_parse_dict(field.message_type, one)
        done[name] = one
    return done


def to_message(method, request):
    message = METHODS[method].input_type._concrete_class()
    return json_format.ParseDict(for_parse_dict(message.DESCRIPTOR, request), message)


def to_json(message, value):
    """The HTTP body of a request: JSON texts stand in it as they are. A name of no field is sent too."""
    opaque = value.get("content_type", "") not in ("", "application/json")
    parts = []
    for name, one in value.items():
        field = message.fields_by_name.get(name) if message is not None else None
        if field is not None and field_rule(field).raw_json:
            text = json.dumps(base64.b64encode(as_bytes(one)).decode()).encode() if opaque and name == "data" \
                else as_bytes(one)
        elif field is not None and isinstance(one, dict):
            text = to_json(field.message_type, one)
        elif field is not None and isinstance(one, list) and field.message_type is not None:
            text = b"[" + b",".join(to_json(field.message_type, each) for each in one) + b"]"
        else:
            text = json.dumps(one).encode()
        parts.append(json.dumps(name).encode() + b":" + text)
    return b"{" + b",".join(parts) + b"}"


def parameter(value):
    return "true" if value is True else "false" if value is False else str(value)


def query_of(request):
    pairs = []
    for name, value in request.items():
        for one in value if isinstance(value, list) else [value]:
            pairs.append((name, parameter(one)))
    return urllib.parse.urlencode(pairs)


def fits_header(text):
    return text != "" and all(0x20 < ord(one) < 0x7F for one in text.replace(" ", "x"))


def to_http(method, request):
    """(verb, target, headers, body) of a call: what stands in the path, in headers, in the query or the body."""
    descriptor = METHODS[method]
    rule = descriptor.GetOptions().Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    left = dict(request)
    headers = {}
    path = getattr(rule, verb)
    for name in re.findall(r"{(\w+)}", path):
        path = path.replace("{%s}" % name, urllib.parse.quote(left.pop(name), safe=""))
    for name in list(left):
        field = descriptor.input_type.fields_by_name.get(name)
        header = field_rule(field).http_header if field is not None else ""
        # In a header where HTTP's own rules put it; the others may stand in either, and a body is the more usual.
        if header in ("If-Match", "If-None-Match", "Idempotency-Key") and fits_header(left[name]):
            headers[header] = str(left.pop(name))
    if rule.body:
        return verb.upper(), path, headers, to_json(descriptor.input_type, left)
    query = query_of(left)
    return verb.upper(), path + ("?" + query if query else ""), headers, None


# --- answers ---

def parsed(text):
    """Numbers stay the tokens that they are: 1.0 is not 1."""
    return json.loads(text, parse_float=str, parse_int=str) if text else None


def inline(message, value):
    """An answer of json_format with its JSON texts inline, as the gateway has them."""
    for name in list(value):
        field = message.fields_by_name[name]
        if field_rule(field).raw_json:
            opaque = value.get("content_type", "") not in ("", "application/json")
            if not opaque:
                value[name] = parsed(base64.b64decode(value[name]))
        elif field.message_type is not None and not field.message_type.full_name.startswith("google.") and \
                not field.message_type.GetOptions().map_entry:
            for one in value[name] if is_repeated(field) else [value[name]]:
                inline(field.message_type, one)
    return value


def lookup(answer, path):
    """The value at "events.0.version"; None when there is none."""
    at = answer
    for part in path.split("."):
        if isinstance(at, list):
            at = len(at) if part == "count" else at[int(part)] if int(part) < len(at) else None
        elif isinstance(at, dict):
            at = at.get(part)
        else:
            return None
    return at


def same(wanted, seen):
    """Positions are strings in JSON and numbers of `data` are tokens, hence int() and str()."""
    if callable(wanted):
        return wanted(seen)
    if isinstance(wanted, bool) or wanted is None or isinstance(wanted, str):
        return wanted == seen
    if isinstance(wanted, int):
        return seen is not None and not isinstance(seen, (dict, list)) and str(wanted) == str(seen)
    if isinstance(wanted, dict):
        return isinstance(seen, dict) and wanted.keys() == seen.keys() and \
            all(same(wanted[name], seen[name]) for name in wanted)
    return isinstance(seen, list) and len(wanted) == len(seen) and all(map(same, wanted, seen))


def check_facts(facts, outcome, told):
    """A conflict names its versions and their aggregate, a failed condition a position; nothing else names any."""
    wanted = {name: str(value) for name, value in outcome.versions.items()}
    conflict = outcome.reason in ("VERSION_CONFLICT", "IF_MATCH_FAILED", "AGGREGATE_EXISTS")
    assert bool(facts.pop("aggregate_id", "")) == conflict, told
    assert (int(facts.pop("position", 0)) > 0) == (outcome.reason == "CONDITION_FAILED"), told
    assert facts == wanted, told


class Grpc:
    """Calls over gRPC. `check` raises AssertionError where an answer is not what a row says."""

    name = "grpc"

    def __init__(self, service):
        self.client = Client(service)
        self.stubs = [self.client.events, self.client.aggregates, self.client.snapshots, self.client.system]

    def close(self):
        self.client.close()

    def call(self, method, request):
        """The answer as a message, or the Failure."""
        stub = next(getattr(one, method) for one in self.stubs if hasattr(one, method))
        try:
            return stub(to_message(method, request), timeout=60)
        except grpc.RpcError as error:
            return Failure(error)

    def check(self, call, outcome):
        answer = self.call(*call)
        if hasattr(outcome, "reason"):
            self.check_refusal(answer, outcome)
        else:
            self.check_answer(answer, outcome)

    @staticmethod
    def check_answer(answer, outcome):
        assert not isinstance(answer, Failure), answer
        message = inline(answer.DESCRIPTOR, json_format.MessageToDict(
            answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True))
        for path, wanted in outcome.fields.items():
            seen = lookup(message, path)
            assert same(wanted, seen), "%s is %r and should be %r in %s" % (path, seen, wanted, message)
        for path, wanted in outcome.raw.items():
            at = answer
            for part in path.split("."):
                at = at[int(part)] if part.isdigit() else getattr(at, part)
            assert at == wanted, "%s is %r and should be %r" % (path, at, wanted)

    @staticmethod
    def check_refusal(failure, outcome):
        assert isinstance(failure, Failure), "carried out: %s" % str(failure)[:500]
        assert (failure.code, failure.reason) == (outcome.code, outcome.reason), failure
        check_facts(failure.facts, outcome, failure)
        assert (failure.retry_after_s is not None) == outcome.retry, failure
        if outcome.fields is not None:
            assert sorted(failure.faults) == sorted(outcome.fields), failure
        assert all(text in failure.message for text in outcome.says), failure
        assert failure.quota == outcome.quota, failure


class Stream(Grpc):
    """Appends as requests of an AppendStream; the other calls as gRPC's."""

    name = "stream"

    def check(self, call, outcome):
        method, request = call
        if method != "AppendEvents":
            super().check(call, outcome)
            return
        requests = [event_service_pb2.AppendStreamRequest(append=to_message(method, request))]
        answers = list(self.client.events.AppendStream(iter(requests), timeout=60))
        assert [answer.sequence for answer in answers] == [1], answers
        if not hasattr(outcome, "reason"):
            assert answers[0].WhichOneof("outcome") == "appended", answers[0]
            self.check_answer(answers[0].appended, outcome)
            return
        assert answers[0].WhichOneof("outcome") == "error", answers[0]
        error = answers[0].error
        code = next(code.name for code in grpc.StatusCode if code.value[0] == error.code)
        assert (code, error.reason) == (outcome.code, outcome.reason), error
        check_facts(dict(error.facts), outcome, error)
        assert all(text in error.message for text in outcome.says), error


class Rest:
    """Calls over HTTP, on a kept connection of each thread."""

    name = "rest"

    def __init__(self, service):
        self.port = service.http_port
        self.threads = threading.local()
        self.connections = []

    def close(self):
        for connection in self.connections:
            connection.close()

    def send(self, verb, target, headers=None, body=None):
        """(status, headers, body as bytes)."""
        if not hasattr(self.threads, "connection"):
            self.threads.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            self.connections.append(self.threads.connection)
        headers = dict(headers or {})
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        try:
            self.threads.connection.request(verb, target, body, headers)
            reply = self.threads.connection.getresponse()
            return reply.status, reply.headers, reply.read()
        except Exception:
            self.threads.connection.close()  # else the next row would hear of this one's failure
            raise

    def check(self, call, outcome):
        verb, target, headers, body = to_http(*call)
        headers["Strata-Request-Id"] = "row-1"
        status, headers, content = self.send(verb, target, headers, body)
        if hasattr(outcome, "reason"):
            self.check_refusal(status, headers, content, outcome)
        else:
            self.check_answer(call[0], status, headers, content, outcome)

    @staticmethod
    def check_answer(method, status, headers, content, outcome):
        options = METHODS[method].GetOptions()
        success = outcome.status or options.Extensions[options_pb2.rule].http_success or 200
        assert status == success, "%d: %s" % (status, content[:1000])
        part = options.Extensions[annotations_pb2.http].response_body
        answer = parsed(content) if content else {}
        for path, wanted in outcome.fields.items():
            path = path.removeprefix(part + ".") if part else path
            if path == "replayed" and part:  # beside the body, in the header alone
                seen = headers.get("Strata-Replayed") == "true"
            else:
                seen = lookup(answer, path)
            assert same(wanted, seen), "%s is %r and should be %r in %s" % (path, seen, wanted, content[:1000])
        for path, wanted in outcome.raw.items():
            name = path.rsplit(".", 1)[-1].encode()
            assert b'"%s":%s' % (name, wanted) in content, "%s should be %r in %r" % (path, wanted, content[:1000])
        for name, wanted in outcome.headers.items():
            assert headers.get(name) == wanted, "%s is %r and should be %r" % (name, headers.get(name), wanted)

    @staticmethod
    def check_refusal(status, headers, content, outcome):
        assert status == outcome.status, "%d and should be %d: %s" % (status, outcome.status, content[:1000])
        assert headers["Content-Type"] == "application/problem+json", headers
        problem = json.loads(content)
        told = "%s" % problem
        assert (problem["code"], problem["reason"], problem["status"]) == \
            (outcome.code, outcome.reason, outcome.status), told
        facts = {name: str(problem[name]) for name in ("expected_version", "current_version", "aggregate_id", "position")
                 if name in problem}
        check_facts(facts, outcome, told)
        assert problem["request_id"] == "row-1" and headers["Strata-Request-Id"] == "row-1", told
        assert ("Retry-After" in headers) == outcome.retry, "%s, Retry-After %s" % (told, headers.get("Retry-After"))
        if outcome.http_fields is not None:
            assert sorted(one["field"] for one in problem.get("errors", [])) == sorted(outcome.http_fields), told
        assert all(text in problem["detail"] for text in outcome.says), told

