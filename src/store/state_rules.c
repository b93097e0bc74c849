#include "store/state_rules.h"

#include <inttypes.h>

#include "base/clock.h"

struct status state_value_check(struct bytes key, struct bytes value)
{
    if (key.size_bytes < 1 || key.size_bytes > STATE_KEY_MAX_BYTES)
        return status_error(STATUS_INVALID_ARGUMENT, "a key of state has %zu bytes; give it 1 to %u",
                            key.size_bytes, STATE_KEY_MAX_BYTES);
    if (value.size_bytes > STATE_VALUE_MAX_BYTES)
        return status_error(STATUS_INVALID_ARGUMENT, "the value of \"%.*s\" has %zu bytes; give at most %u",
                            BYTES_FORMAT(key), value.size_bytes, STATE_VALUE_MAX_BYTES);
    return status_ok();
}

struct status state_swap_check(struct bytes key, struct bytes value)
{
    STATUS_TRY(state_value_check(key, value));
    if (value.size_bytes > STATE_SWAP_MAX_BYTES)
        return status_error(STATUS_INVALID_ARGUMENT, "the value of \"%.*s\" has %zu bytes; swap at most %u",
                            BYTES_FORMAT(key), value.size_bytes, STATE_SWAP_MAX_BYTES);
    return status_ok();
}

/* `what` begins the message. */
static struct status name_check(const char *what, struct bytes name)
{
    if (name.size_bytes >= 1 && name.size_bytes <= LEASE_NAME_MAX_BYTES)
        return status_ok();
    return status_error(STATUS_INVALID_ARGUMENT, "%s has %zu bytes; give it 1 to %u", what, name.size_bytes,
                        LEASE_NAME_MAX_BYTES);
}

/*
 * A lease that seems to last for longer than twice its ttl was taken before the clock was set back: it would last for
 * as long as the clock lags, and is taken for ended instead. Two holders at once are what epochs are for.
 */
static bool is_live(const struct lease_state *stored, int64_t now_us)
{
    return now_us < stored->lease.ends_at_us && stored->lease.ends_at_us - now_us <= 2 * stored->ttl_us;
}

static struct status refuse_held(const struct lease_state *stored, struct bytes name, int64_t now_us)
{
    char end[TIME_TEXT_BYTES];
    time_format(stored->lease.ends_at_us, end);
    const int64_t wait_ms = (stored->lease.ends_at_us - now_us + 999) / 1000;
    struct status status = status_error(
        STATUS_ABORTED,
        "the lease \"%.*s\" is held by \"%.*s\" until %s, epoch %" PRId64 "; try again after that",
        BYTES_FORMAT(name), BYTES_FORMAT(stored->holder), end, stored->lease.epoch);
    status.retry_after_ms = (int32_t)wait_ms; /* at most two days */
    return status;
}

struct status lease_take(const struct lease_state *stored, struct bytes name, struct bytes holder,
                         int64_t ttl_ms, int64_t now_us, struct lease_state *ret)
{
    STATUS_TRY(name_check("the lease's name", name));
    STATUS_TRY(name_check("the holder's name", holder));
    if (ttl_ms < 1 || ttl_ms > LEASE_TTL_MAX_MS)
        return status_error(STATUS_INVALID_ARGUMENT,
                            "the lease \"%.*s\" was asked for %" PRId64 " ms; ask for 1 to %" PRId64,
                            BYTES_FORMAT(name), ttl_ms, LEASE_TTL_MAX_MS);
    const bool live = is_live(stored, now_us);
    const bool own = bytes_equal(stored->holder, holder);
    if (live && !own)
        return refuse_held(stored, name, now_us);
    const struct lease lease = {.epoch = stored->lease.epoch + (live ? 0 : 1),
                                .ends_at_us = now_us + ttl_ms * 1000};
    *ret = (struct lease_state){.holder = holder, .lease = lease, .ttl_us = ttl_ms * 1000};
    return status_ok();
}

bool lease_is_held(const struct lease_state *stored, struct bytes holder, int64_t epoch)
{
    return stored->lease.ends_at_us != 0 && stored->lease.epoch == epoch &&
           bytes_equal(stored->holder, holder);
}

static struct status check_epoch(const struct checkpoint *stored, const struct checkpoint_request *request)
{
    const int64_t of_checkpoint = stored == NULL ? 0 : stored->epoch;
    if (request->epoch >= of_checkpoint && request->epoch >= request->lease_epoch)
        return status_ok();
    if (request->epoch < request->lease_epoch)
        return status_error(STATUS_FAILED_PRECONDITION,
                            "the checkpoint \"%.*s\" was sent with epoch %" PRId64
                            " and its lease is at epoch %" PRId64
                            ": another holder took over; stop, and take the lease anew to go on",
                            BYTES_FORMAT(request->name), request->epoch, request->lease_epoch);
    return status_error(STATUS_FAILED_PRECONDITION,
                        "the checkpoint \"%.*s\" was put at epoch %" PRId64 " and epoch %" PRId64
                        " was sent: another holder took over; stop, and take the lease anew to go on",
                        BYTES_FORMAT(request->name), of_checkpoint, request->epoch);
}

struct status checkpoint_check(const struct checkpoint *stored, const struct checkpoint_request *request)
{
    STATUS_TRY(name_check("the checkpoint's name", request->name));
    if (request->position < 0 || request->epoch < 0)
        return status_error(STATUS_INVALID_ARGUMENT,
                            "the checkpoint \"%.*s\" was sent with position %" PRId64 " and epoch %" PRId64
                            "; neither can be negative",
                            BYTES_FORMAT(request->name), request->position, request->epoch);
    STATUS_TRY(check_epoch(stored, request));
    if (request->position > request->head_position)
        return status_error(STATUS_OUT_OF_RANGE,
                            "the checkpoint \"%.*s\" was sent with position %" PRId64
                            " and the last event is at %" PRId64
                            "; acknowledge what was read, or the events to come will be passed over",
                            BYTES_FORMAT(request->name), request->position, request->head_position);
    if (stored != NULL && request->epoch == stored->epoch && request->position < stored->position)
        return status_error(STATUS_OUT_OF_RANGE,
                            "the checkpoint \"%.*s\" is at position %" PRId64 " and %" PRId64
                            " was sent at the same epoch, %" PRId64
                            "; to read again on purpose take the lease anew, or remove the checkpoint",
                            BYTES_FORMAT(request->name), stored->position, request->position, stored->epoch);
    return status_ok();
}
