"""What a row of a table is: a rule, what happened before, a call, and what must be answered.

A call is (rpc, {field: value}). JSON texts (`data`, `state`, …) are str or bytes, sent as they are; times are RFC
3339. `@` in any text is replaced by a prefix of six bytes that belongs to the row and the transport alone, so that no
row sees another's aggregates. Bodies and headers over HTTP follow from the options of the contract (`drive.py`).
"""

import uuid

PREFIX_BYTES = 6

# Reason: canonical code, HTTP status, whether a time is named after which a repetition makes sense.
REASONS = {
    "INVALID_ID": ("INVALID_ARGUMENT", 400, False),
    "INVALID_JSON": ("INVALID_ARGUMENT", 400, False),
    "INVALID_FIELD": ("INVALID_ARGUMENT", 400, False),
    "UNKNOWN_FIELD": ("INVALID_ARGUMENT", 400, False),
    "TYPE_NOT_ALLOWED": ("INVALID_ARGUMENT", 400, False),
    "VERSION_ZERO": ("INVALID_ARGUMENT", 400, False),
    "EVENT_TOO_LARGE": ("INVALID_ARGUMENT", 413, False),
    "APPEND_TOO_LARGE": ("INVALID_ARGUMENT", 413, False),
    "VERSION_CONFLICT": ("ABORTED", 409, False),
    "CONDITION_FAILED": ("ABORTED", 409, False),
    "REVALIDATE_EXHAUSTED": ("ABORTED", 409, False),
    "IF_MATCH_FAILED": ("ABORTED", 412, False),
    "AGGREGATE_EXISTS": ("ALREADY_EXISTS", 409, False),
    "EVENT_ID_USED": ("ALREADY_EXISTS", 409, False),
    "EVENT_ERASED": ("ALREADY_EXISTS", 409, False),
    "SNAPSHOT_EXISTS": ("ALREADY_EXISTS", 409, False),
    "TRANSITION_REFUSED": ("FAILED_PRECONDITION", 400, False),
    "TYPE_MISMATCH": ("FAILED_PRECONDITION", 400, False),
    "PENDING_TOO_MANY": ("FAILED_PRECONDITION", 400, False),
    "EVENTS_TOO_MANY": ("FAILED_PRECONDITION", 400, False),
    "OPERATION_RUNNING": ("FAILED_PRECONDITION", 400, False),
    "PRECONDITION_REQUIRED": ("FAILED_PRECONDITION", 428, False),
    "AGGREGATE_UNKNOWN": ("NOT_FOUND", 404, False),
    "EVENT_UNKNOWN": ("NOT_FOUND", 404, False),
    "SNAPSHOT_NONE": ("NOT_FOUND", 404, False),
    "OPERATION_UNKNOWN": ("NOT_FOUND", 404, False),
    "UNAUTHENTICATED": ("UNAUTHENTICATED", 401, False),
    "PERMISSION_DENIED": ("PERMISSION_DENIED", 403, False),
    "LIMIT_EVENTS": ("RESOURCE_EXHAUSTED", 429, False),
    "LIMIT_AGGREGATES": ("RESOURCE_EXHAUSTED", 429, False),
    "LIMIT_AGGREGATE_EVENTS": ("RESOURCE_EXHAUSTED", 429, False),
    "RATE_LIMITED": ("RESOURCE_EXHAUSTED", 429, True),
    "QUEUE_FULL": ("UNAVAILABLE", 503, True),
    "STORE_UNREACHABLE": ("UNAVAILABLE", 503, True),
    "STORE_FAILED": ("UNAVAILABLE", 503, True),
    "BEHIND": ("UNAVAILABLE", 503, True),
    "OUTCOME_UNKNOWN": ("UNKNOWN", 500, False),
    "POSITION_MISSING": ("DATA_LOSS", 500, False),
    "DAMAGED": ("DATA_LOSS", 500, False),
}


class Ok:
    """The call is carried out. `fields`: values of the answer by path; `raw`: JSON texts of it, byte for byte;
    `headers`: of the HTTP answer, None = not there; `status`: of the HTTP answer, when it is not the contract's."""

    def __init__(self, status=None, raw=None, headers=None, **fields):
        self.status = status
        self.raw = {path: text.encode() if isinstance(text, str) else text for path, text in (raw or {}).items()}
        self.headers = headers or {}
        self.fields = {path.replace("__", "."): value for path, value in fields.items()}


class Refused:
    """The call is refused with this reason and the code and HTTP status that REASONS has for it.

    `expected`, `current`: versions that the refusal names; None: none. `fields`: paths of all faulty fields, None: not
    looked at (over HTTP a broken JSON text has no field, hence `http_fields`). `says`: texts of the message."""

    def __init__(self, reason, expected=None, current=None, fields=None, http_fields=None, says=(), quota=None):
        self.reason = reason
        self.code, self.status, self.retry = REASONS[reason]
        self.versions = {name: value for name, value in (("expected_version", expected), ("current_version", current))
                         if value is not None}
        self.fields = fields
        self.http_fields = fields if http_fields is None else http_fields
        self.says = list(says) if isinstance(says, (list, tuple)) else [says]
        self.quota = quota


class Row:
    """`after`: calls made before, over gRPC, which must succeed. `then`: (call, outcome) pairs that show what is so
    afterwards. `only`: "grpc" or "rest", where the other cannot say it."""

    def __init__(self, rule, call, outcome, after=(), then=(), only=None):
        self.rule = rule
        self.call = call
        self.outcome = outcome
        self.after = list(after)
        self.then = list(then)
        self.only = only

    def __repr__(self):
        return "%s: %s" % (self.rule, str(self.call)[:160])


class From:
    """A value of the answer to the last call made before (`at` counts them), moved by `plus`."""

    def __init__(self, path, plus=0, at=-1):
        self.path = path
        self.plus = plus
        self.at = at


class DerivedId:
    """The id that the event of this index gets from the append's key."""

    def __init__(self, key, index):
        self.key = key
        self.index = index

    def with_prefix(self, prefix):
        return str(uuid.uuid5(uuid.NAMESPACE_OID, prefixed(self.key, prefix) + "\0%d" % self.index))


def prefixed(value, prefix):
    """`value` with every @ of its texts replaced."""
    if hasattr(value, "with_prefix"):
        return value.with_prefix(prefix)
    if isinstance(value, str):
        return value.replace("@", prefix)
    if isinstance(value, bytes):
        return value.replace(b"@", prefix.encode())
    if isinstance(value, dict):
        return {name: prefixed(one, prefix) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(prefixed(one, prefix) for one in value)
    return value


# --- the calls that most rows are made of ---

def event(aggregate="@a", data="{}", type="custom", aggregate_type="custom", **fields):
    return {"type": type, "aggregate_id": aggregate, "aggregate_type": aggregate_type, "data": data, **fields}


def publish(aggregate="@a", data="{}", type="custom", aggregate_type="custom", **fields):
    return "PublishEvent", event(aggregate, data, type, aggregate_type, **fields)


def append(*events, **fields):
    return "AppendEvents", {"events": list(events), **fields}


def create(aggregate="@a", type="custom", **fields):
    return "CreateAggregate", {"id": aggregate, "type": type, **fields}


def save(aggregate="@a", **fields):
    return "SaveAggregate", {"id": aggregate, **fields}


def get(aggregate="@a", **fields):
    return "GetAggregate", {"id": aggregate, **fields}


def at_version(version, aggregate="@a", type="custom"):
    return append(*[event(aggregate, aggregate_type=type, data='{"n":%d}' % (i + 1)) for i in range(version)])
