/*
 * For `strata verify`: looks at every row of state/ of a store that nobody has open. SQLite's own structure, the
 * checksum of each snapshot, value, lease, checkpoint and of the remembered head. Writes nothing.
 *
 * Ownership  Borrows everything.
 * Threads    One call by one thread; callbacks come from it.
 * Blocking   Yes: it reads the whole database.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/files.h"
#include "base/status.h"

struct clock;
struct entropy;
struct store_identity;

struct state_check_report {
    int64_t snapshot_count; /* rows looked at, the damaged ones included */
    int64_t value_count;
    int64_t lease_count;
    int64_t checkpoint_count;
    int64_t damaged_count;
};

struct state_check_options {
    const char *store_id;
    const struct store_identity *identity; /* of STORE: state/ must be the same store's */
    /* Called for each damaged row, with its name and what to do; NULL = nobody. */
    void (*on_damage)(void *context, const struct status *damage);
    void *context;
};

/*
 * OK: nothing is damaged. *ret is filled also on failure, up to where it went.
 *   DATA_LOSS/DAMAGED    names the first damage, and says how many more there are; or SQLite cannot read on
 *   NOT_FOUND            there is no state.db
 *   FAILED_PRECONDITION  it belongs to another store, or has another format
 */
STATUS_MUST_CHECK struct status state_check(struct files *files, const struct state_check_options *options,
                                            const struct clock *clock, const struct entropy *entropy,
                                            struct state_check_report *ret);
