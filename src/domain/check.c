#include "domain/domain_internal.h"

/* Which events a kind of aggregate looks at before they are stored. */
static bool looks_at(enum aggregate_kind kind, enum event_kind event)
{
    if (kind == AGGREGATE_CUSTOM)
        return false;
    switch (event) {
    case EVENT_AGGREGATE_CREATED:
        return kind != AGGREGATE_USER; /* an initial status must be one of the table's */
    case EVENT_STATE_REPLACED:
        return true;
    case EVENT_CUSTOM:
    case EVENT_SYSTEM_OTHER:
    case EVENT_METADATA_CHANGED:
    case EVENT_ACTIVATED:
    case EVENT_DEACTIVATED:
        return false;
    default:
        return true;
    }
}

/* Without an aggregate type the event's own says which kind it would be. */
static enum aggregate_kind presumed_kind(struct bytes event_type, struct bytes aggregate_type)
{
    return aggregate_type.size_bytes > 0 ? aggregate_kind_of(aggregate_type)
                                         : aggregate_kind_of_event(event_type);
}

bool domain_needs_check(const struct domain *domain, struct bytes event_type, struct bytes aggregate_type)
{
    if (!domain->validation_enabled)
        return false;
    if (aggregate_type.size_bytes == 0 && bytes_equal(event_type, BYTES_LITERAL(TYPE_STATE_REPLACED)))
        return true; /* it may be one of those that are looked at */
    const enum aggregate_kind kind = presumed_kind(event_type, aggregate_type);
    return looks_at(kind, event_kind_of(event_type, kind));
}

struct status domain_check_opaque(const struct domain *domain, struct arena *arena, struct bytes event_type,
                                  struct bytes content_type)
{
    /* Opaque bytes have no shape; a type that asks for one must not get them. */
    const struct status empty =
        domain_check_payload(domain, arena, "data", event_type, BYTES_NONE, BYTES_LITERAL("{}"));
    if (status_is_ok(&empty) || empty.code == STATUS_RESOURCE_EXHAUSTED)
        return empty;
    return status_reason(REASON_INVALID_FIELD,
                         "content_type is \"%.*s\" and the data of %.*s is JSON; leave content_type out, or "
                         "use a custom type",
                         BYTES_FORMAT(content_type), BYTES_FORMAT(event_type));
}

static struct status check_kind(enum aggregate_kind kind, const struct check *check)
{
    switch (kind) {
    case AGGREGATE_USER:
        return user_check(check);
    case AGGREGATE_ORDER:
        return order_check(check);
    case AGGREGATE_PAYMENT:
        return payment_check(check);
    default:
        return status_ok();
    }
}

struct status domain_check(const struct domain *domain, const struct fold *fold,
                           const struct event_fields *event)
{
    if (!domain->validation_enabled)
        return status_ok();
    const enum aggregate_kind kind =
        fold->exists ? fold->kind : presumed_kind(event->type, event->aggregate_type);
    const enum event_kind kind_of_event = event_kind_of(event->type, kind);
    if (!looks_at(kind, kind_of_event))
        return status_ok();

    CLEANUP(arena_free_at) struct arena *scratch = arena_new(0);
    if (scratch == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory left for checking an event");
    static const struct view unusable = {0};
    const struct view *data = NULL;
    /* What may follow in a user's life depends on its state alone, but for a whole new state. */
    if (kind != AGGREGATE_USER || kind_of_event == EVENT_STATE_REPLACED)
        STATUS_TRY(event_data(scratch, event, &data));
    const struct check check = {
        .fold = fold,
        .id = fold->exists ? fold->id : event->aggregate_id,
        .event = kind_of_event,
        .data = data == NULL ? &unusable : data,
        .scratch = scratch,
    };
    return check_kind(kind, &check);
}
