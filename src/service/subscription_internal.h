/* What a listing sees of a subscription. */
#pragma once

#include "service/service_internal.h"

struct subscription_view {
    int64_t number; /* rises with the time of beginning; never used again */
    const char *name;
    const struct event_query *query;
    int64_t position; /* everything up to here was delivered or did not match */
    int64_t began_at_us;
    const struct call *call;
};
/* Of a link of streams_each, and valid until that callback returns. */
struct subscription_view subscription_view(const struct stream_link *link);
