/* The statuses of a kind of aggregate and the moves between them; they stand in the state's member "status". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "domain/domain_internal.h"

#define LIFECYCLE_STAGES_MAX 8U

struct lifecycle_stage {
    const char *name;
    uint32_t next; /* bit i: may become stages[i]; its own bit: may be reported again */
};

struct lifecycle {
    const char *noun; /* the aggregate type */
    size_t stage_count;
    struct lifecycle_stage stages[LIFECYCLE_STAGES_MAX];
};

#define LIFECYCLE_TO(stage) (1U << (stage))

extern const struct lifecycle order_lifecycle;
extern const struct lifecycle payment_lifecycle;

/* What a status member holds. */
enum stage_kind {
    STAGE_ABSENT,  /* or null */
    STAGE_KNOWN,   /* a string that is the name of a stage */
    STAGE_FOREIGN, /* anything else; only checks that were off let it into a state */
};
struct stage_value {
    enum stage_kind kind;
    size_t stage;     /* STAGE_KNOWN */
    struct bytes raw; /* as written; of an object only that it is one */
};

STATUS_MUST_CHECK struct status lifecycle_of_state(const struct lifecycle *lifecycle,
                                                   const struct check *check, struct stage_value *ret);
STATUS_MUST_CHECK struct status lifecycle_of_data(const struct lifecycle *lifecycle,
                                                  const struct check *check, const char *member,
                                                  struct stage_value *ret);

/* May `now` become `next`? From no status and from a foreign one any stage may follow. */
STATUS_MUST_CHECK struct status lifecycle_check_move(const struct lifecycle *lifecycle,
                                                     const struct check *check, struct stage_value now,
                                                     struct stage_value next);
/* The status of an initial state, or of a whole new one. */
STATUS_MUST_CHECK struct status lifecycle_check_state(const struct lifecycle *lifecycle,
                                                      const struct check *check);

/* Refuses a status that is not one. */
STATUS_MUST_CHECK struct status lifecycle_refuse_foreign(const struct lifecycle *lifecycle,
                                                         const char *member, struct bytes raw);

#define LIFECYCLE_LIST_BYTES 160U
/* "a, b or c" of the stages in `mask`; "" for none. */
const char *lifecycle_list(const struct lifecycle *lifecycle, uint32_t mask, char text[LIFECYCLE_LIST_BYTES]);
uint32_t lifecycle_all(const struct lifecycle *lifecycle);

/* A value as written, short enough for a message. */
struct bytes shortened(struct bytes raw);
