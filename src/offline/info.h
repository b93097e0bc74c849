/*
 * `strata info`: what is in a store's folder. Opens nothing for writing (but LOCK, which says that it is being looked at).
 * Of a store that a process holds only what the files say from outside is known; the service itself knows the rest.
 *
 * Ownership  Borrows everything.
 * Threads    One.
 * Blocking   Yes. As long as a start of the service takes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/files.h"
#include "base/status.h"

struct clock;
struct entropy;

struct store_info {
    uint8_t uuid[16];
    unsigned format_major;
    unsigned format_minor;
    int64_t created_at_us;
    uint32_t segment_count;
    uint64_t log_bytes; /* all files in log/, prepared space too */
    uint64_t index_bytes;
    uint64_t state_bytes;
    bool held;        /* a process holds it */
    char holder[256]; /* what names it */
    bool clean_known;
    bool clean; /* the last stop was clean */
    bool head_known;
    int64_t head_position; /* of the last event; 0 = empty */
    int64_t head_time_us;
    struct sha256 chain;
    int64_t aggregate_count;
    struct status trouble; /* why the head is not known, though nobody holds the store; OK = it is */
};

/*
 *   NOT_FOUND         there is no store `store_id` (NULL = "main")
 *   DATA_LOSS/DAMAGED its STORE file is damaged
 *   others            as files.h
 * What else is wrong with the store, or keeps its head from being read, stands in *ret.
 */
STATUS_MUST_CHECK struct status store_info_read(struct files *files, const char *store_id,
                                                const struct clock *clock, const struct entropy *entropy,
                                                struct store_info *ret);
