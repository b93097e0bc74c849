/*
 * JSON to wire and wire to JSON by the generated field tables: proto3's JSON mapping with DESIGN §4's choices
 * (proto names out, both spellings in, default values written, absent oneof and optional members left out,
 * int64 as strings unless `json_number`, RFC 3339 with microseconds, `raw_json` inline and token for token,
 * `decimal` digit for digit, `internal` never shown).
 *
 * Works on packed bytes in both directions, so that stored records and unknown fields pass without
 * protobuf-c.
 *
 * Threads  Any.  Blocking  Never.
 */
#pragma once

#include "base/arena.h"
#include "base/bytes.h"
#include "base/status.h"
#include "schema/schema.h"

/*
 * Reads a JSON object into packed bytes of `message`, appended to `wire`. An unknown member is UNKNOWN_FIELD,
 * a wrong type or value INVALID_FIELD, a text that is no JSON INVALID_JSON; field faults carry the path, and
 * all faults of one text (up to 64) are listed in status.faults (in `arena`). null = absent. Where the
 * message has a `content_type` that is not application/json, its `data` is base64.
 */
STATUS_MUST_CHECK struct status transcode_to_wire(struct arena *arena, const struct schema_message *message,
                                                  struct bytes json, struct buffer *wire);

/*
 * Appends the message as JSON in one line. DATA_LOSS/DAMAGED when the bytes are not a `message`,
 * RESOURCE_EXHAUSTED when the buffer cannot grow; `json` then holds a part of it.
 */
STATUS_MUST_CHECK struct status transcode_to_json(const struct schema_message *message, struct bytes wire,
                                                  struct buffer *json);

/*
 * One scalar, time or duration from a plain text, as in a path or a query. `quoted`: an enum by name, else by
 * number. False when it is not such a value; nothing is written then.
 */
bool transcode_put_text(struct arena *arena, const struct schema_field *field, struct bytes text, bool quoted,
                        struct buffer *wire);

/* What a value of this field must be, for messages: "a whole number of 32 bits". In the arena, or lives for ever. */
const char *transcode_wanted(struct arena *arena, const struct schema_field *field);

/* The field that a mistyped name was probably meant to be, or NULL. */
const char *transcode_nearest(const struct schema_message *message, struct bytes name);

/*
 * Outside bytes as they may stand in a message: at most 64, cut between characters and then ended by "…",
 * with '?' for control characters and for what is not UTF-8. "" when the arena is exhausted.
 */
const char *transcode_shown(struct arena *arena, struct bytes text);
