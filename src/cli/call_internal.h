/*
 * Commands that show what a call answers: one object, or the pages of a list.
 *
 * Ownership  Works on the caller's run.
 * Threads    The main thread.
 * Blocking   Until the service has answered.
 */
#pragma once

#include "cli/cli_internal.h"

/* Of a command whose view has a list. */
struct list_arguments {
    struct cli_common common;
    int64_t limit; /* 0 = all */
};

#define LIST_DEFAULTS (&(const struct list_arguments){.common = CLI_COMMON_DEFAULTS, .limit = 100})

#define CLI_OPTION_LIMIT                                                                                     \
    {                                                                                                        \
        "limit", "N", "show so many (default 100); 0 = all", CLI_NUMBER, 'n',                                \
            .place = offsetof(struct list_arguments, limit), .least = 0, .most = INT64_MAX                   \
    }

/* Shows a reply by the command's view. */
STATUS_MUST_CHECK struct status cli_show_reply(struct cli_run *run, const struct schema_message *message,
                                               struct bytes reply);
