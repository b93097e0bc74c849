/* MongoDB, as the configuration names it: events, snapshots. */
#include <string.h>

#include "base/clock.h"
#include "main/stores_internal.h"
#include "store/mongodb/mongodb_store.h"

static uint32_t milliseconds(const struct config *config, enum config_key key)
{
    const int64_t ms = config_duration_us(config, key) / 1000;
    return ms < 1 ? 1 : ms > INT32_MAX ? INT32_MAX : (uint32_t)ms;
}

struct status stores_mongodb(const struct config *config, struct log *log, struct event_store **ret)
{
    char uri[PASSWORD_MAX_BYTES]; /* holds a password */
    STATUS_TRY(stores_password(config, CONFIG_MONGODB_URI, CONFIG_MONGODB_URI_FILE, uri));
    const struct mongodb_store_options options = {
        .uri = uri,
        .database = config_text(config, CONFIG_MONGODB_DATABASE),
        .store_id = config_text(config, CONFIG_MONGODB_STORE_ID),
        .pool_size = (unsigned)config_int(config, CONFIG_MONGODB_POOL_SIZE),
        .connect_timeout_ms = milliseconds(config, CONFIG_MONGODB_CONNECT_TIMEOUT),
        .io_timeout_ms = milliseconds(config, CONFIG_MONGODB_IO_TIMEOUT),
        .settle_timeout_ms = milliseconds(config, CONFIG_MONGODB_SETTLE_TIMEOUT),
    };
    const struct status status =
        strlen(uri) + 1 < sizeof uri
            ? mongodb_store_open(&options, &system_clock, log, ret)
            : status_error(
                  STATUS_INVALID_ARGUMENT,
                  "database.mongodb.uri has more than %u bytes; name fewer hosts, the others are found",
                  (unsigned)sizeof uri - 2);
    explicit_bzero(uri, sizeof uri);
    return status;
}
