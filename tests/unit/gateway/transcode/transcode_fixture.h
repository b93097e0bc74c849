/* JSON in, wire, JSON out, with messages found by their short name. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/cmocka.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "gateway/transcode/transcode.h"

static inline const struct schema_message *message_called(const char *name)
{
    char full[128];
    (void)snprintf(full, sizeof full, "%s%s", strncmp(name, "strata.", 7) == 0 ? "" : "strata.v1.",
                   name); /* fits */
    const struct schema_message *message = schema_message_by_name(bytes_of_text(full));
    if (message == NULL)
        fail_msg("there is no message %s", full);
    return message;
}

/* Text with a NUL behind it, to be compared. */
static inline const char *text_of(struct buffer *buffer)
{
    buffer_add_byte(buffer, 0);
    return (const char *)buffer->data;
}

static inline struct status read_json(struct arena *arena, const char *message, const char *json,
                                      struct buffer *ret_wire)
{
    *ret_wire = buffer_in(arena, 0);
    return transcode_to_wire(arena, message_called(message), bytes_of_text(json), ret_wire);
}
