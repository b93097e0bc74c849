#include "domain/domain_internal.h"
#include "domain/lifecycle_internal.h"

enum { PENDING, AUTHORIZED, COMPLETED, FAILED, REFUNDED, STAGE_COUNT };

/* Pending and authorized payments may be reported again; a settled one takes nothing but its refund, so that no
 * payment is completed twice. */
const struct lifecycle payment_lifecycle = {
    .noun = "payment",
    .stage_count = STAGE_COUNT,
    .stages =
        {
            [PENDING] = {"pending", LIFECYCLE_TO(PENDING) | LIFECYCLE_TO(AUTHORIZED) |
                                        LIFECYCLE_TO(COMPLETED) | LIFECYCLE_TO(FAILED)},
            [AUTHORIZED] = {"authorized",
                            LIFECYCLE_TO(AUTHORIZED) | LIFECYCLE_TO(COMPLETED) | LIFECYCLE_TO(FAILED)},
            [COMPLETED] = {"completed", LIFECYCLE_TO(REFUNDED)},
            [FAILED] = {"failed", 0},
            [REFUNDED] = {"refunded", 0},
        },
};

static struct status check_processed(const struct check *check)
{
    struct stage_value now;
    struct stage_value next;
    STATUS_TRY(lifecycle_of_state(&payment_lifecycle, check, &now));
    STATUS_TRY(lifecycle_of_data(&payment_lifecycle, check, "status", &next));
    if (next.kind == STAGE_FOREIGN)
        return lifecycle_refuse_foreign(&payment_lifecycle, "status", next.raw);
    /* Without a status the event reports the one that there is. */
    return lifecycle_check_move(&payment_lifecycle, check, now, next.kind == STAGE_ABSENT ? now : next);
}

struct status payment_check(const struct check *check)
{
    switch (check->event) {
    case EVENT_PAYMENT_PROCESSED:
        return check_processed(check);
    case EVENT_AGGREGATE_CREATED:
    case EVENT_STATE_REPLACED:
        return lifecycle_check_state(&payment_lifecycle, check);
    default:
        return status_ok();
    }
}

struct status payment_fold(struct fold *fold, struct arena *scratch, enum event_kind event,
                           const struct view *data)
{
    (void)scratch;
    if (event == EVENT_PAYMENT_PROCESSED)
        tree_merge(&fold->tree, fold->state, data);
    return status_ok();
}
