#include "domain/domain_internal.h"
#include "domain/lifecycle_internal.h"

enum { PENDING, CONFIRMED, PAID, SHIPPED, DELIVERED, CANCELLED, REFUNDED, STAGE_COUNT };

/* Cancelling ends an order that nobody has paid; once it is paid, the way out is a refund. */
const struct lifecycle order_lifecycle = {
    .noun = "order",
    .stage_count = STAGE_COUNT,
    .stages =
        {
            [PENDING] = {"pending", LIFECYCLE_TO(CONFIRMED) | LIFECYCLE_TO(CANCELLED)},
            [CONFIRMED] = {"confirmed", LIFECYCLE_TO(PAID) | LIFECYCLE_TO(CANCELLED)},
            [PAID] = {"paid", LIFECYCLE_TO(SHIPPED) | LIFECYCLE_TO(REFUNDED)},
            [SHIPPED] = {"shipped", LIFECYCLE_TO(DELIVERED) | LIFECYCLE_TO(REFUNDED)},
            [DELIVERED] = {"delivered", LIFECYCLE_TO(REFUNDED)},
            [CANCELLED] = {"cancelled", 0},
            [REFUNDED] = {"refunded", 0},
        },
};

static struct status check_created(const struct check *check)
{
    const struct fold *fold = check->fold;
    struct stage_value now;
    struct stage_value next;
    /* An initial state may name the order before the event that creates it; only then is the version 0. */
    if (fold->version >= 1 && tree_find(fold->state, "order_id").size_bytes > 0)
        return status_reason(
            REASON_TRANSITION_REFUSED,
            "order \"%.*s\" was created already and is at version %d; send order_status_changed to move it",
            BYTES_FORMAT(check->id), fold->version);
    STATUS_TRY(lifecycle_of_state(&order_lifecycle, check, &now));
    STATUS_TRY(lifecycle_of_data(&order_lifecycle, check, "status", &next));
    if (next.kind == STAGE_FOREIGN)
        return lifecycle_refuse_foreign(&order_lifecycle, "status", next.raw);
    if (next.kind == STAGE_ABSENT || (now.kind == STAGE_KNOWN && now.stage == next.stage))
        return status_ok();
    return lifecycle_check_move(&order_lifecycle, check, now, next);
}

/* Whether the given old_status is what the state says. */
static struct status old_status_fits(const struct check *check, struct stage_value now, struct bytes old,
                                     bool *ret)
{
    if (now.kind == STAGE_KNOWN)
        return raw_is_text(check->scratch, old, order_lifecycle.stages[now.stage].name, ret);
    struct bytes current = BYTES_NONE;
    struct bytes claimed = BYTES_NONE;
    *ret = false;
    if (!raw_is_string(now.raw) || !raw_is_string(old))
        return status_ok();
    STATUS_TRY(raw_text(check->scratch, now.raw, &current));
    STATUS_TRY(raw_text(check->scratch, old, &claimed));
    *ret = bytes_equal(current, claimed);
    return status_ok();
}

static struct status check_old_status(const struct check *check, struct stage_value now)
{
    const struct view_member *old = view_find(check->data, "old_status");
    bool fits = true;
    if (old != NULL)
        STATUS_TRY(old_status_fits(check, now, old->raw, &fits));
    if (fits)
        return status_ok();
    const struct bytes current =
        now.kind == STAGE_KNOWN ? bytes_of_text(order_lifecycle.stages[now.stage].name) : shortened(now.raw);
    const struct bytes claimed = shortened(old->object != NULL ? BYTES_LITERAL("an object") : old->raw);
    return status_reason(
        REASON_TRANSITION_REFUSED,
        "order \"%.*s\" is %.*s and old_status is %.*s; read the order again, or leave old_status out",
        BYTES_FORMAT(check->id), BYTES_FORMAT(current), BYTES_FORMAT(claimed));
}

static struct status check_status_changed(const struct check *check)
{
    struct stage_value now;
    struct stage_value next;
    char all[LIFECYCLE_LIST_BYTES];
    if (!check->fold->exists)
        return status_reason(
            REASON_TRANSITION_REFUSED,
            "order \"%.*s\" does not exist, so it has no status to change; send order_created first",
            BYTES_FORMAT(check->id));
    STATUS_TRY(lifecycle_of_state(&order_lifecycle, check, &now));
    STATUS_TRY(lifecycle_of_data(&order_lifecycle, check, "new_status", &next));
    if (now.kind == STAGE_ABSENT) /* what order_created would have made of it */
        now = (struct stage_value){STAGE_KNOWN, PENDING, BYTES_NONE};
    if (next.kind == STAGE_ABSENT)
        return status_reason(REASON_TRANSITION_REFUSED, "order \"%.*s\": new_status is missing; choose %s",
                             BYTES_FORMAT(check->id),
                             lifecycle_list(&order_lifecycle, lifecycle_all(&order_lifecycle), all));
    if (next.kind == STAGE_FOREIGN)
        return lifecycle_refuse_foreign(&order_lifecycle, "new_status", next.raw);
    STATUS_TRY(check_old_status(check, now));
    return lifecycle_check_move(&order_lifecycle, check, now, next);
}

struct status order_check(const struct check *check)
{
    switch (check->event) {
    case EVENT_ORDER_CREATED:
        return check_created(check);
    case EVENT_ORDER_STATUS_CHANGED:
        return check_status_changed(check);
    case EVENT_AGGREGATE_CREATED:
    case EVENT_STATE_REPLACED:
        return lifecycle_check_state(&order_lifecycle, check);
    default:
        return status_ok();
    }
}

struct status order_fold(struct fold *fold, struct arena *scratch, enum event_kind event,
                         const struct view *data)
{
    (void)scratch;
    const struct view_member *status;
    switch (event) {
    case EVENT_ORDER_CREATED:
        tree_merge(&fold->tree, fold->state, data);
        if (tree_find(fold->state, "status").size_bytes == 0)
            tree_set(&fold->tree, fold->state, "status", "\"pending\"");
        return status_ok();
    case EVENT_ORDER_STATUS_CHANGED:
        status = view_find(data, "new_status");
        if (status != NULL && raw_is_string(status->raw))
            tree_replace(&fold->tree, fold->state, BYTES_LITERAL("status"), BYTES_LITERAL("\"status\""),
                         status);
        return status_ok();
    default:
        return status_ok();
    }
}
