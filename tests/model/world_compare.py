"""What the service says against what the model says."""

import re

import grpc

from model import Refused, Stored
from support.strata_rpc import Failure, microseconds


class Difference(AssertionError):
    pass


CONFLICTS = ("VERSION_CONFLICT", "IF_MATCH_FAILED", "AGGREGATE_EXISTS")


def outcome_name(expected):
    """For counting: None is plain success."""
    if isinstance(expected, Refused):
        return expected.reason
    return "replayed" if isinstance(expected, Stored) and expected.replayed else None


class Compare:
    def count(self, what, outcome=None):
        self.operations += 1
        key = "%s %s" % (what, "ok" if outcome is None else outcome)
        self.outcomes[key] = self.outcomes.get(key, 0) + 1

    def differ(self, what, expected, got):
        raise Difference("operation %d, %s\n--- the model says\n%s\n--- the service says\n%s" % (
            self.operations, what, expected, got))

    def ask(self, call, request, what):
        """The reply, or the Failure."""
        self.doing = what
        try:
            return call(request, timeout=120)
        except grpc.RpcError as error:
            return Failure(error)

    def same(self, what, expected, got):
        if expected != got:
            self.differ(what, expected, got)

    def compare_refusal(self, what, request, expected, got):
        """True when both refuse, and alike."""
        failed = isinstance(got, Failure)
        if isinstance(expected, Refused) != failed:
            self.differ("%s\n%s" % (what, request), expected, got)
        if not failed:
            return False
        if not self.is_the_same_refusal(expected, got):
            self.differ("%s\n%s" % (what, request), expected, got)
        return True

    @staticmethod
    def is_the_same_refusal(expected, got):
        """Code, reason, the versions of a conflict and the aggregate that it names. `got` may be a Failure or alike."""
        if (got.code, got.reason) != (expected.code, expected.reason):
            return False
        return expected.reason not in CONFLICTS or (
            got.facts == expected.facts() and 'aggregate "%s"' % expected.about in got.message)

    def names_a_match(self, append, got):
        """Of a failed condition: message and facts name the position of an event that does match."""
        named = re.search(r"the event at position (\d+) matches", got.message)
        position = int(named.group(1)) if named else 0
        return got.facts == {"position": str(position)} and append.after_position < position <= self.model.head() and any(
            item.matches(self.model.log[position - 1]) for item in append.items)

    def compare_event(self, what, event, got):
        times = (microseconds(got.timestamp), microseconds(got.occurred_at) if got.HasField("occurred_at") else None)
        expected = (event.id or got.id, event.type, event.aggregate_id, event.aggregate_type, event.version, event.position,
                    event.correlation_id, event.causation_id, event.content_type, event.schema_version, list(event.tags),
                    event.subject, event.occurred_at, event.append.append_id or event.append.events[0].id or got.append_id,
                    event.index, len(event.append.events), event.data.encode(), event.metadata.encode(), "anonymous",
                    event.append.timestamp_us or times[0])
        given = (got.id, got.type, got.aggregate_id, got.aggregate_type, got.version, got.position, got.correlation_id,
                 got.causation_id, got.content_type, got.schema_version, list(got.tags), got.subject, times[1], got.append_id,
                 got.append_index, got.append_count, got.data, got.metadata, got.actor, times[0])
        self.same(what, expected, given)

    def check_time(self, stored, timestamp_us, what):
        """Of a replay the first one's; else later than the append before."""
        if stored.replayed:
            self.same(what + ": time of a replay", stored.recorded_us(), timestamp_us)
            return
        before = stored.events[0].position - 2
        earlier = self.model.log[before].append.timestamp_us if 0 <= before < len(self.model.log) else None
        if earlier is not None and timestamp_us <= earlier:
            self.differ(what, "a time after %d" % earlier, timestamp_us)
        stored.timestamp_us = timestamp_us

    def adopt(self, stored, timestamp_us, ids, what):
        self.check_time(stored, timestamp_us, what)
        if stored.replayed:
            return
        if len(set(ids)) != len(ids):
            self.differ(what, "ids that differ", ids)
        position = stored.events[0].position
        if position <= len(self.model.log) and self.model.log[position - 1] is stored.events[0]:  # not only validated
            self.model.adopt(stored, timestamp_us, ids)

    def compare_append(self, what, request, expected, reply):
        """An AppendEventsResponse that says yes."""
        self.same("%s: replayed\n%s" % (what, request), expected.replayed, reply.replayed)
        first, last = expected.events[0], expected.events[-1]
        got = (reply.first_position, reply.last_position, [(h.aggregate_id, h.version, h.position) for h in reply.heads])
        self.same("%s\n%s" % (what, request), (first.position, last.position, [
            (e.aggregate_id, e.version, e.position) for e in expected.heads()]), got)
        ids = list(reply.event_ids)
        self.same("%s: ids\n%s" % (what, request), [e.id or i for e, i in zip(expected.events, ids)], ids)
        self.same("%s: append_id\n%s" % (what, request), expected.append_id or ids[0], reply.append_id)
        self.adopt(expected, microseconds(reply.timestamp), ids, what)
        for event, shown in zip(expected.events, reply.events):
            self.compare_event(what + ": shown", event, shown)

    def compare_publish(self, what, request, expected, reply):
        """A PublishEventResponse that says yes."""
        self.same(what + ": replayed", expected.replayed, reply.replayed)
        self.compare_event("%s\n%s" % (what, request), expected.events[0], reply.event)
        self.adopt(expected, microseconds(reply.event.timestamp), [reply.event.id], what)

    def compare_aggregate(self, what, request, aggregate, entry, got, replayed=False, as_of=0, with_state=True):
        event, state, metadata, active, count = entry
        expected = (aggregate.id, event.aggregate_type, event.version, state if with_state else "", active, metadata, event.position,
                    count, '"%d"' % event.version, replayed, as_of, aggregate.history[0][0].append.timestamp_us,
                    event.append.timestamp_us)
        given = (got.id, got.type, got.version, got.state.decode(), got.active, got.metadata.decode(), got.position,
                 got.event_count, got.etag if with_state else '"%d"' % event.version, got.replayed, got.as_of_position,
                 microseconds(got.created_at), microseconds(got.updated_at))
        self.same("%s\n%s" % (what, request), expected, given)
