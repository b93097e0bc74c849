"""What may follow what: every cell of the tables of docs/domain.md."""

from semantics.rows import Ok, Refused, Row, create, get, publish, save

ORDER = {"pending": {"confirmed", "cancelled"}, "confirmed": {"paid", "cancelled"}, "paid": {"shipped", "refunded"},
         "shipped": {"delivered", "refunded"}, "delivered": {"refunded"}, "cancelled": set(), "refunded": set()}
PAYMENT = {"pending": {"pending", "authorized", "completed", "failed"},
           "authorized": {"authorized", "completed", "failed"},
           "completed": {"refunded"}, "failed": set(), "refunded": set()}


def status(value):
    return '{"status":"%s"}' % value


def made(type, value):
    return [create(type=type, initial_state="{}" if value is None else status(value))]


def order_event(data, type="order_status_changed"):
    return publish(type=type, aggregate_type="order", data=data)


def changed(value, **old):
    return order_event('{"new_status":"%s"%s}' % (value, "".join(',"old_status":"%s"' % one for one in old.values())))


def paid(value):
    return publish(type="payment_processed", aggregate_type="payment",
                   data='{"payment_id":"@a"%s}' % ("" if value is None else ',"status":"%s"' % value))


def user_event(type, data='{"x":1}'):
    return publish(type=type, aggregate_type="user", data=data)


REFUSED = Refused("TRANSITION_REFUSED")


def told(allowed):
    return Ok() if allowed else REFUSED


ROWS = [Row("order %s → %s" % (before, after), changed(after), told(after in ORDER[before]),
            after=made("order", before))
        for before in ORDER for after in ORDER]
ROWS += [Row("state of an order %s → %s" % (before, after), save(state=status(after), expected_version=0),
             told(after in ORDER[before] or after == before), after=made("order", before))
         for before in ORDER for after in ORDER]
ROWS += [Row("payment %s → %s" % (before, after), paid(after), told(after in PAYMENT[before]),
             after=made("payment", before))
         for before in PAYMENT for after in PAYMENT]
ROWS += [Row("payment %s, no status given: to itself" % before, paid(None), told(before in PAYMENT[before]),
             after=made("payment", before)) for before in PAYMENT]
ROWS += [Row("state of a payment %s → %s" % (before, after), save(state=status(after), expected_version=0),
             told(after in PAYMENT[before] or after == before), after=made("payment", before))
         for before in PAYMENT for after in PAYMENT]
ROWS += [Row("a payment without a status accepts any: %s" % value, paid(value), Ok(), after=made("payment", None))
         for value in (None, *PAYMENT)]
ROWS += [Row("an unknown payment accepts any: %s" % value, paid(value), Ok()) for value in (None, *PAYMENT)]
ROWS += [Row("an order without a status is pending: → %s" % value, changed(value), told(value in ORDER["pending"]),
             after=made("order", None)) for value in ORDER]
ROWS += [Row("a state without a status: of an order that has %s" % value, save(state="{}", expected_version=0), REFUSED,
             after=made("order", value)) for value in ORDER]
ROWS += [
    Row("an order's state has a status of the table", create(type="order", initial_state=status("lost")),
        Refused("INVALID_FIELD", fields=["initial_state.status"])),
    Row("a payment's state has a status of the table", save(state=status("lost"), expected_version=0),
        Refused("INVALID_FIELD", fields=["state.status"]), after=made("payment", "pending")),
    Row("order_status_changed: the id is unknown", changed("confirmed"), REFUSED),
    Row("order_status_changed: new_status is absent", order_event("{}"),
        Refused("INVALID_FIELD", fields=["data.new_status"]),
        after=made("order", "pending")),
    Row("order_status_changed: new_status is no status", changed("lost"),
        Refused("INVALID_FIELD", fields=["data.new_status"]),
        after=made("order", "pending")),
    Row("order_status_changed: old_status is the current one", changed("paid", old="confirmed"), Ok(),
        after=made("order", "confirmed")),
    Row("order_status_changed: old_status is another", changed("paid", old="pending"), REFUSED,
        after=made("order", "confirmed")),
    Row("order_created twice", order_event('{"order_id":"@a"}', "order_created"), REFUSED,
        after=[order_event('{"order_id":"@a"}', "order_created")]),
    Row("order_created after a creation", order_event('{"order_id":"@a"}', "order_created"), Ok(),
        after=made("order", "paid"), then=[(get(), Ok(state={"status": "paid", "order_id": "@a"}))]),
    Row("order_created begins as pending", order_event('{"order_id":"@a"}', "order_created"), Ok(),
        then=[(get(), Ok(state={"order_id": "@a", "status": "pending"}))]),
    Row("order_created moves as the table says", order_event('{"order_id":"@a","status":"shipped"}', "order_created"),
        REFUSED, after=made("order", "pending")),
    Row("order_created of an unknown id begins anywhere", order_event('{"order_id":"@a","status":"shipped"}',
                                                                      "order_created"), Ok()),
    Row("checks never look at custom events", publish(aggregate_type="order", data=status("refunded")), Ok(),
        after=made("order", "cancelled")),
    Row("checks never look at custom aggregates", save(state=status("lost"), expected_version=0), Ok(),
        after=made("custom", "refunded")),
    Row("metadata of a refunded order", save(set_metadata='{"m":1}', active=False), Ok(),
        after=made("order", "refunded")),
]

DELETED = [user_event("user_created", '{"user_id":"@a"}'), user_event("user_deleted", "{}")]
ROWS += [Row("unknown ids accept %s" % type, user_event(type, data), Ok(event__version=1))
         for type, data in (("user_created", '{"user_id":"@a"}'), ("user_updated", "{}"), ("user_deleted", "{}"))]
ROWS += [
    Row("user_created twice", user_event("user_created", '{"user_id":"@a"}'), REFUSED, after=DELETED[:1]),
    Row("user_created after a creation", user_event("user_created", '{"user_id":"@a"}'), Ok(event__version=1),
        after=[create(type="user", initial_state='{"user_id":"@a"}')]),
    Row("user_updated", user_event("user_updated", '{"changes":[{"field":"role","new_value":"x"}]}'), Ok(),
        after=DELETED[:1], then=[(get(), Ok(state={"user_id": "@a", "role": "x"}))]),
    Row("user_deleted", user_event("user_deleted", "{}"), Ok(), after=DELETED[:1],
        then=[(get(), Ok(state={"user_id": "@a", "status": "deleted"}))]),
    Row("a deleted user: user_created", user_event("user_created", '{"user_id":"@a"}'), REFUSED, after=DELETED),
    Row("a deleted user: user_updated", user_event("user_updated", "{}"), REFUSED, after=DELETED),
    Row("a deleted user: user_deleted", user_event("user_deleted", "{}"), REFUSED, after=DELETED),
    Row("a deleted user: a state that is not", save(state="{}", expected_version=2), REFUSED, after=DELETED),
    Row("a deleted user: a state that is", save(state=status("deleted"), expected_version=2), Ok(), after=DELETED),
    Row("a deleted user: custom events", publish(aggregate_type="user"), Ok(), after=DELETED),
    Row("a deleted user: metadata and activity", save(set_metadata="{}", active=False), Ok(), after=DELETED),
    Row("deleted however that came about", user_event("user_updated", "{}"), REFUSED,
        after=[create(type="user", initial_state=status("deleted"))]),
]
