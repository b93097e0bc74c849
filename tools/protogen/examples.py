"""The examples of proto/examples: calls and frames with what a real service answered (tests/support/api_story.py carries
them out again and compares).

A path, a frame or a part of a stream without an example is refused by name.
"""

import http.client
import json
import urllib.parse

from model import Refused

FOLDER = "proto/examples"


class Examples:
    def __init__(self, chapters):
        """`chapters`: {file name: list of steps}."""
        self.calls, self.frames = [], []
        for name, steps in chapters.items():
            for step in steps:
                self._read(name, step)

    @classmethod
    def load(cls, folder):
        return cls({path.name: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))})

    def _read(self, chapter, step):
        if not isinstance(step, dict):
            return  # what happens meanwhile may be no call
        where = "%s/%s: %s" % (FOLDER, chapter, step.get("name", "a step"))
        for member in ("name", "says"):
            if not step.get(member):
                raise Refused(where, "has no `%s`" % member)
        if "socket" in step:
            for frame in step["frames"]:
                if not frame.get("says"):
                    raise Refused(where, "a frame has no `says`")
                self.frames.append((step["name"], frame))
                self._read(chapter, frame.get("meanwhile"))
        elif "call" in step:
            if "status" not in step.get("answer", {}):
                raise Refused(where, "has no answer; record it: tests/integration/test_api_examples.py --record")
            self.calls.append((where, step))
            self._read(chapter, step.get("meanwhile"))
        else:
            raise Refused(where, "is neither a call nor a socket")

    # --- frames and parts of streams ---

    def frames_of(self, direction, member, name):
        """Frames of one kind: [{name, summary, payload}]."""
        found = [{"name": "%s_%s" % (story, name), "summary": frame["says"], "payload": frame[direction]}
                 for story, frame in self.frames if frame.get(direction, {}).get(member) == name and not frame.get("refused")]
        if not found:
            raise Refused("/ws frame \"%s\"" % name, "has no example in %s" % FOLDER)
        return unlike(found)

    def parts_of(self, media_type, name):
        """Parts of event streams of one kind: [{name, summary, headers?, payload}]."""
        found = []
        for _, step in self.calls:
            answer = step["answer"]
            if answer.get("headers", {}).get("Content-Type") != media_type or "parts" not in step:
                continue
            for text in [answer["body"], step.get("later", {}).get("text", "")]:
                parts = sse_parts(text) if media_type == "text/event-stream" else ndjson_parts(text)
                found += [{"name": step["name"], "summary": step["says"], **part} for kind, part in parts if kind == name]
        if not found:
            raise Refused("%s part \"%s\"" % (media_type, name), "has no example in %s" % FOLDER)
        return unlike(found)

    # --- calls ---

    def add_to(self, paths):
        """Puts the calls into the operations of an OpenAPI document."""
        answered = {}
        for where, step in self.calls:
            template, operation, exchange = self._operation(where, step, paths)
            key = (step["call"].split(" ")[0], template)
            answered.setdefault(key, []).append(step)
            if [other["name"] for other in answered[key]].count(step["name"]) > 1:
                raise Refused(where, "another example of %s %s has this name" % key)
            Exchange(where, step, operation, exchange).add()
        for path, operations in paths.items():
            for verb, operation in operations.items():
                operation["responses"] = dict(sorted(operation["responses"].items()))  # digits before "default"
                steps = answered.get((verb.upper(), path), [])
                if not any(step["answer"]["status"] < 400 for step in steps):
                    raise Refused("%s %s" % (verb.upper(), path), "has no example of its success in %s; add one and record its "
                                  "answer: tests/integration/test_api_examples.py --record" % FOLDER)

    @staticmethod
    def _operation(where, step, paths):
        method, target = step["call"].split(" ", 1)
        path, _, query = target.partition("?")
        segments, best = path.split("/"), None
        for template, operations in paths.items():
            pattern = template.split("/")
            fits = len(pattern) == len(segments) and all(p == s or p.startswith("{") and s for p, s in zip(pattern, segments))
            # The more literal one wins, earlier segments first, as in the gateway.
            rank = [p.startswith("{") for p in pattern]
            if fits and method.lower() in operations and (best is None or rank < best[0]):
                best = rank, template
        if best is None:
            raise Refused(where, "%s has no such path; it is not in the contract" % step["call"])
        template = best[1]
        given = {(name[1:-1], "path"): [urllib.parse.unquote(value)]
                 for name, value in zip(template.split("/"), segments) if name.startswith("{")}
        for name, value in urllib.parse.parse_qsl(query, keep_blank_values=True):
            given.setdefault((name, "query"), []).append(value)
        for name, value in step.get("headers", {}).items():
            given[(name, "header")] = [value]
        return template, paths[template][method.lower()], given


class Exchange:
    """One call, put into its operation: values where OpenAPI has a place for them, under the name of the call in each, and the
    whole of it in x-exchanges."""

    def __init__(self, where, step, operation, given):
        self.where, self.step, self.operation, self.given = where, step, operation, given
        self.answer = step["answer"]
        self.fine = self.answer["status"] < 400

    def add(self):
        method, target = self.step["call"].split(" ", 1)
        exchange = {"name": self.step["name"], "summary": self.step["says"], "method": method, "target": target}
        if self.step.get("headers"):
            exchange["headers"] = self.step["headers"]
        if self.fine:
            self._parameters()
        if "body" in self.step and self.fine:
            self._body()["examples"][self.step["name"]] = {"summary": self.step["says"], "value": self.step["body"]}
        elif "body" in self.step or "text" in self.step:  # may be what the schema refuses
            exchange["body"] = self.step.get("body", self.step.get("text"))
        exchange["status"] = self.answer["status"]
        if self.answer.get("headers"):
            exchange["answer_headers"] = self.answer["headers"]
        self._response()
        self.operation.setdefault("x-exchanges", []).append(exchange)

    def _parameters(self):
        parameters = {(p["name"], p["in"]): p for p in self.operation.get("parameters", [])}
        parameters |= {(p["x-query-name"], "query"): p for p in parameters.values() if "x-query-name" in p}
        for (name, place), values in self.given.items():
            parameter = parameters.get((name, place))
            if parameter is not None:
                parameter.setdefault("examples", {})[self.step["name"]] = {"value": typed(values, parameter["schema"])}
            elif place != "header":  # headers such as Accept are no parameters
                raise Refused(self.where, "%s is no parameter of %s" % (name, self.operation["operationId"]))

    def _body(self):
        body = self.operation.get("requestBody")
        if body is None:
            raise Refused(self.where, "%s has no body" % self.operation["operationId"])
        content = body["content"]["application/json"]
        content.setdefault("examples", {})
        return content

    def _response(self):
        status, responses = str(self.answer["status"]), self.operation["responses"]
        if status not in responses and not self.fine:
            problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
            responses[status] = {"description": "%s." % http.client.responses[self.answer["status"]], "content": problem}
        if status not in responses:
            raise Refused(self.where, "%s has no answer %s" % (self.operation["operationId"], status))
        if "body" not in self.answer:
            return
        kind = self.answer["headers"]["Content-Type"].split(";")[0]
        content = responses[status].get("content", {})
        if kind not in content:
            raise Refused(self.where, "%s does not answer %s with %s" % (self.operation["operationId"], status, kind))
        content[kind].setdefault("examples", {})[self.step["name"]] = {"summary": self.step["says"], "value": self.answer["body"]}


def typed(values, schema):
    """Texts of a query as the JSON values that they stand for."""
    if schema.get("type") == "array":
        return [typed([value], schema["items"]) for value in values]
    if schema.get("type") == "boolean":
        return values[0] == "true"
    return int(values[0]) if schema.get("type") == "integer" else values[0]


def unlike(examples):
    """Without repetitions; names made unique."""
    out, counts = [], {}
    for example in examples:
        if any(example["payload"] == other["payload"] for other in out):
            continue
        counts[example["name"]] = count = counts.get(example["name"], 0) + 1
        out.append({**example, "name": example["name"] + ("_%d" % count if count > 1 else "")})
    return out


def sse_parts(text):
    """(kind, {headers, payload}) of each message."""
    for block in filter(None, text.split("\n\n")):
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        headers = {name: lines[name] for name in ("event", "id") if name in lines}
        yield lines.get("event", "event"), {"headers": headers, "payload": json.loads(lines["data"])}


def ndjson_parts(text):
    for line in text.splitlines():
        part = json.loads(line)
        yield next(iter(part)), {"payload": part}
