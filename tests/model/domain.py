"""The domain as docs/domain.md defines it: payload shapes, checks, folds. A second implementation, written from that page."""

import json

from tokens import clean, content, copy, member, merge

PREFIXES = (("user_", "user"), ("order_", "order"), ("payment_", "payment"))
CREATED, REPLACED, METADATA_CHANGED = "$aggregate_created", "$state_replaced", "$metadata_changed"
ACTIVATED, DEACTIVATED = "$activated", "$deactivated"

# --- payload shapes ---

ORDER_MOVES = {"pending": ("confirmed", "cancelled"), "confirmed": ("paid", "cancelled"), "paid": ("shipped", "refunded"),
               "shipped": ("delivered", "refunded"), "delivered": ("refunded",), "cancelled": (), "refunded": ()}
PAYMENT_MOVES = {"pending": ("pending", "authorized", "completed", "failed"),
                 "authorized": ("authorized", "completed", "failed"), "completed": ("refunded",), "failed": (),
                 "refunded": ()}


def _is_number(text):
    try:
        json.loads(text, parse_constant=lambda _: 1 / 0)
    except (ValueError, ZeroDivisionError):
        return False
    return text[:1] in "-0123456789" and text.strip() == text


def _string(value):
    return content(value) is not None


def _required(value):
    return bool(content(value))


def _decimal(value):
    text = content(value) if _string(value) else value
    return type(text) is str and text != "" and len(text) <= 1000 and _is_number(text)


def _int32(value):
    return (type(value) is str and value.lstrip("-").isdigit() and value[:1] in "-0123456789" and
            -2147483648 <= int(value) <= 2147483647)


def _currency(value):
    text = content(value)
    return text is not None and len(text) == 3 and all("A" <= c <= "Z" for c in text)


def _status_of(moves):
    return lambda value: content(value) in moves


def _list_of(shape):
    def check(value):
        return type(value) is list and all(type(v) is dict for v in value) and [f for v in value for f in faults(shape, v)]
    return check


def _any(value):
    return True


_ITEM = ({"product_id": _string, "name": _string, "quantity": _int32, "unit_price": _decimal}, ())
_CHANGE = ({"field": _required, "old_value": _any, "new_value": _any}, ("field",))
_USER = {name: _string for name in ("user_id", "email", "name", "first_name", "last_name", "role")}
SHAPES = {
    "user_created": ({**_USER, "user_id": _required}, ("user_id",)),
    "user_updated": ({**_USER, "changes": _list_of(_CHANGE)}, ()),
    "user_deleted": ({"user_id": _string, "reason": _string, "deleted_by": _string}, ()),
    "order_created": ({"order_id": _required, "user_id": _string, "items": _list_of(_ITEM), "total_amount": _decimal,
                       "currency": _currency, "status": _status_of(ORDER_MOVES)}, ("order_id",)),
    "order_status_changed": ({"order_id": _string, "old_status": _string, "reason": _string, "changed_by": _string,
                              "new_status": _status_of(ORDER_MOVES)}, ("new_status",)),
    "payment_processed": ({"payment_id": _required, "order_id": _string, "user_id": _string, "method": _string,
                           "transaction_id": _string, "processor": _string, "amount": _decimal, "currency": _currency,
                           "status": _status_of(PAYMENT_MOVES)}, ("payment_id",)),
}
OWN_ID = {"user_created": "user_id", "user_updated": "user_id", "user_deleted": "user_id", "order_created": "order_id",
          "order_status_changed": "order_id", "payment_processed": "payment_id"}
STATE_SHAPES = {"user": (SHAPES["user_created"][0], ()), "order": (SHAPES["order_created"][0], ()),
                "payment": (SHAPES["payment_processed"][0], ())}
for _members, _own in (("user", "user_id"), ("order", "order_id"), ("payment", "payment_id")):
    STATE_SHAPES[_members] = ({**STATE_SHAPES[_members][0], _own: _string}, ())


def faults(shape, obj):
    """The kinds of fault of an object: "INVALID_FIELD" and "UNKNOWN_FIELD" (the latter counts only when strict)."""
    members, required = shape
    found = []
    for name, (_, value) in obj.items():
        rule = members.get(name)
        if rule is None:
            found.append("UNKNOWN_FIELD")
        elif value != "null":
            verdict = rule(value)
            if verdict is False or verdict is None:
                found.append("INVALID_FIELD")
            elif type(verdict) is list:
                found += verdict
    found += ["INVALID_FIELD" for name in required if member(obj, name) is None]
    return found


# --- types, checks, folds ---

def kind_of(aggregate_type):
    return aggregate_type if aggregate_type in ("user", "order", "payment") else "custom"


def kind_of_event(event_type):
    for prefix, kind in PREFIXES:
        if event_type.startswith(prefix):
            return kind
    return None


def _move_refused(moves, now, to):
    return now in moves and to not in moves[now]


def _state_rule(moves, state, data):
    status, now = member(data, "status"), content(member(state, "status"))
    if status is not None and content(status) not in moves:
        return True
    if now not in moves or content(status) == now:
        return False
    return status is None or _move_refused(moves, now, content(status))


def refused(kind, exists, version, state, event_type, data):
    """Whether the check of the domain says no."""
    if kind == "user":
        deleted = content(member(state, "status")) == "deleted"
        if event_type == "user_created":
            return deleted or (exists and version >= 1 and "user_id" in state)
        if event_type in ("user_updated", "user_deleted"):
            return deleted
        return event_type == REPLACED and deleted and content(member(data, "status")) != "deleted"
    if kind == "order":
        if event_type in (CREATED, REPLACED):
            return _state_rule(ORDER_MOVES, state, data)
        now, status = content(member(state, "status")), member(data, "status")
        if event_type == "order_created":
            if exists and version >= 1 and "order_id" in state:
                return True
            if status is not None and content(status) not in ORDER_MOVES:
                return True
            return status is not None and content(status) != now and _move_refused(ORDER_MOVES, now, content(status))
        if event_type == "order_status_changed":
            current = member(state, "status")
            current = "pending" if current is None else content(current)
            new, old = content(member(data, "new_status")), member(data, "old_status")
            return (not exists or new not in ORDER_MOVES or (old is not None and content(old) != current) or
                    _move_refused(ORDER_MOVES, current, new))
    if kind == "payment":
        if event_type in (CREATED, REPLACED):
            return _state_rule(PAYMENT_MOVES, state, data)
        if event_type == "payment_processed":
            now, status = content(member(state, "status")), member(data, "status")
            if status is not None and content(status) not in PAYMENT_MOVES:
                return True
            return _move_refused(PAYMENT_MOVES, now, now if status is None else content(status))
    return False


def _set(state, name, value):
    """One member as a whole; None removes it."""
    if value is None:
        state.pop(name, None)
    else:
        entry = state.setdefault(name, [json.dumps(name), None])
        entry[1] = clean(value) if type(value) is dict else value


class Folded:
    """What events make of an aggregate. `first` and `last` are the stored events it began and stands at."""

    __slots__ = ("exists", "type", "version", "state", "metadata", "active", "first", "last", "count")

    def __init__(self):
        self.exists, self.type, self.version, self.active = False, "", 0, True
        self.state, self.metadata, self.first, self.last, self.count = {}, {}, None, None, 0

    def copy(self):
        other = Folded.__new__(Folded)
        for name in Folded.__slots__:
            setattr(other, name, getattr(self, name))
        other.state, other.metadata = copy(self.state), copy(self.metadata)
        return other

    def apply(self, event):
        if not self.exists:
            self.exists, self.type, self.first = True, event.aggregate_type, event
        self.version, self.last = event.version, event
        self.count += 1
        kind, event_type, data = kind_of(self.type), event.type, event.data_object
        if event_type == ACTIVATED or event_type == DEACTIVATED:
            self.active = event_type == ACTIVATED
        elif data is None:
            pass
        elif event_type == CREATED:
            self.state, self.metadata = clean(data), clean(event.metadata_object or {})
        elif event_type == REPLACED:
            self.state = clean(data)
        elif event_type == METADATA_CHANGED:
            merge(self.metadata, data)
        elif event_type[:1] == "$":
            pass
        elif kind == "custom":
            merge(self.state, data)
        elif kind == "user" and event_type == "user_created":
            merge(self.state, data)
        elif kind == "user" and event_type == "user_updated":
            self._update_user(data)
        elif kind == "user" and event_type == "user_deleted":
            _set(self.state, "status", '"deleted"')
        elif kind == "order" and event_type == "order_created":
            merge(self.state, data)
            if "status" not in self.state:
                _set(self.state, "status", '"pending"')
        elif kind == "order" and event_type == "order_status_changed":
            if content(member(data, "new_status")) is not None:
                _set(self.state, "status", member(data, "new_status"))
        elif kind == "payment" and event_type == "payment_processed":
            merge(self.state, data)

    def _update_user(self, data):
        merge(self.state, {name: entry for name, entry in data.items() if name != "changes"})
        changes = member(data, "changes")
        for change in changes if type(changes) is list else ():
            token = member(change, "field") if type(change) is dict else None
            name = content(token)
            if name is None:
                continue
            value = member(change, "new_value")
            if value is not None and name not in self.state:
                self.state[name] = [token, None]
            _set(self.state, name, value)
