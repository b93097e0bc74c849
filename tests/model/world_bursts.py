"""Appends that are pipelined over one stream, and requests that are wrong by themselves."""

import grpc

from model import Append, Expectation, Refused, Stored
from support.strata_rpc import event_pb2, event_service_pb2
from world_appends import repeatable
from world_compare import Difference, outcome_name

CODE_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}


class StreamFailure:
    """An AppendError, read as a Failure is."""

    def __init__(self, error):
        self.code, self.reason, self.message, self.facts = CODE_NAMES[error.code], error.reason, error.message, dict(error.facts)

    def __repr__(self):
        return "%s/%s %s %r" % (self.code, self.reason, self.message, self.facts)


class Bursts:
    def hub(self):
        """An aggregate that ordered bursts name, so that all of them run in their order."""
        event, new = self.pair({"type": "custom", "aggregate_id": "hub", "given_type": "custom"})
        self.send_append("hub", lambda: Append([event]), event_service_pb2.AppendEventsRequest(events=[new]))

    def burst(self):
        """Pipelined appends that share an aggregate: decided in order, many in one batch."""
        hub = Expectation("hub", "exist")
        self.ordered_burst("burst", lambda build, request: (
            request.expectations.append(event_pb2.Expectation(aggregate_id="hub", exist=True)), with_expectation(build, hub))[1])

    def hot_burst(self):
        """Pipelined appends to one aggregate."""
        self.only = self.aggregate()
        self.ordered_burst("hot burst", lambda build, request: build)
        self.only = None

    def ordered_burst(self, what, bind):
        asked = []
        recent = []
        self.burst_head = self.model.head()
        for _ in range(self.random.randrange(5, 40)):
            if recent and self.chance(0.15):
                build, request = self.one(recent)  # a retry that may overtake the answer
            else:
                build, request = self.make_append(few=True)
                build = bind(build, request)
                if repeatable(request.append_id, request.events) and not request.validate_only:
                    recent.append((build, request))
            asked.append((build, request, self.model.decide(build())))
        self.burst_head = None
        answers = self.stream([request for _, request, _ in asked])
        try:
            for (_, request, expected), answer in zip(asked, answers):
                self.compare_answer(what, request, expected, answer)
        except Difference as difference:
            raise Difference("%s\n%s" % (difference, told(asked, answers))) from None
        self.past += [("append", build, request) for build, request in recent]

    def loose_burst(self):
        """Pipelined appends that share nothing as a whole: each aggregate's order holds, the rest is free."""
        if self.model.limits.events or self.model.limits.aggregates:
            return
        first = self.model.head()
        asked = []
        for _ in range(self.random.randrange(5, 40)):
            build, request = self.make_append(conditions=False, few=True)
            asked.append((build, request, self.model.decide(build())))
        answers = self.stream([request for _, request, _ in asked])
        positions = []
        for (_, request, expected), answer in zip(asked, answers):
            if isinstance(expected, Stored) and not expected.replayed:
                if not answer.HasField("appended"):
                    self.differ("loose burst\n%s" % request, expected, answer)
                positions += range(answer.appended.first_position, answer.appended.last_position + 1)
        self.same("loose burst: positions", list(range(first + 1, self.model.head() + 1)), sorted(positions))
        self.model.reorder(first, positions)
        try:
            for (_, request, expected), answer in sorted(
                    zip(asked, answers), key=lambda pair: pair[1].appended.first_position):
                self.compare_answer("loose burst", request, expected, answer)
        except Difference as difference:
            raise Difference("%s\n%s" % (difference, told(asked, answers))) from None
        self.past += [("append", build, request) for build, request, expected in asked
                      if repeatable(request.append_id, request.events)]

    def stream(self, requests):
        self.doing = "stream"
        answers = list(self.client.events.AppendStream(
            (event_service_pb2.AppendStreamRequest(append=request) for request in requests), timeout=300))
        self.same("stream: sequence", list(range(1, len(requests) + 1)), [a.sequence for a in answers])
        return answers

    def compare_answer(self, what, request, expected, answer):
        if isinstance(expected, Refused):
            if not answer.HasField("error") or not self.is_the_same_refusal(expected, StreamFailure(answer.error)):
                self.differ("%s\n%s" % (what, request), expected, answer)
        elif not answer.HasField("appended"):
            self.differ("%s\n%s" % (what, request), "accepted", answer)
        else:
            self.compare_append(what, request, expected, answer.appended)
        self.count(what, outcome_name(expected))

    # --- requests that are wrong by themselves ---

    def invalid(self):
        _, request = self.make_publish()
        request.ClearField("version")
        request.ClearField("expected_version")
        request.ClearField("metadata")
        request.ClearField("content_type")
        request.id, request.idempotency_key = "", ""
        request.type, request.aggregate_type, request.data = "custom", "", b"{}"
        spoil = self.one((
            ("INVALID_ID", lambda r: setattr(r, "aggregate_id", self.one(("", "a b", "..", "x" * 256, "$x", "a\u0085", "\u2003")))),
            ("INVALID_ID", lambda r: setattr(r, "type", self.one(("", "cus tom", "$activated", "a/b")))),
            ("INVALID_ID", lambda r: setattr(r, "id", self.one(("a b", "$1", ".")))),
            ("INVALID_ID", lambda r: setattr(r, "correlation_id", "a\tb")),
            ("INVALID_ID", lambda r: r.tags.append("")),
            ("INVALID_FIELD", lambda r: r.tags.extend("tag%d" % n for n in range(17))),
            ("INVALID_JSON", lambda r: setattr(r, "data", self.one((
                b"[]", b"{", b'{"a":1,"\\u0061":2}', b'{"a":01}', b'{"a":"\\ud83d"}', b'{"a":"\xff"}', b"null", b'{"a":1}}',
                b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", b'{"a":' + b"1" * 1001 + b"}", b'{"a":nul}', b'{"a":"\x01"}',
                b"\xef\xbb\xbf{}", b'{"a":1,}')))),
            ("INVALID_JSON", lambda r: setattr(r, "metadata", self.one((b"1", b'{"a":}')))),
            ("TYPE_NOT_ALLOWED", lambda r: setattr(r, "type", "never_heard_of")),
            ("TYPE_NOT_ALLOWED", lambda r: setattr(r, "aggregate_type", "never_heard_of")),
            ("VERSION_ZERO", lambda r: setattr(r, "version", 0)),
            ("INVALID_FIELD", lambda r: setattr(r, "version", -3)),
            ("INVALID_FIELD", lambda r: (setattr(r, "version", 3), setattr(r, "expected_version", 3))),
            ("INVALID_FIELD", lambda r: (setattr(r, "id", "i"), setattr(r, "idempotency_key", "k"))),
            ("INVALID_FIELD", lambda r: setattr(r, "schema_version", -1)),
            ("INVALID_FIELD", lambda r: (r.occurred_at.FromMicroseconds(5), setattr(r.occurred_at, "nanos", 5))),
        ))
        spoil[1](request)
        got = self.ask(self.client.events.PublishEvent, request, "invalid")
        self.compare_refusal("invalid", request, Refused(spoil[0]), got)
        self.count("invalid", spoil[0])


def with_expectation(build, expectation):
    def more():
        append = build()
        append.expectations = list(append.expectations) + [expectation]
        return append
    return more


def told(asked, answers):
    """A burst in short, for the reader of a difference."""
    return "--- the burst\n" + "\n".join("%d: %s with %s → %s | model %s" % (
        answer.sequence, [(e.type, e.aggregate_id, e.id) for e in request.events],
        [x.aggregate_id for x in request.expectations],
        answer.error.reason or [(h.aggregate_id, h.version, h.position) for h in answer.appended.heads],
        expected if isinstance(expected, Refused) else [(e.aggregate_id, e.version) for e in expected.events])
        for (_, request, expected), answer in zip(asked, answers))
