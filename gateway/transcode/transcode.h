/*
 * JSON to wire and wire to JSON by the generated field tables: proto3's JSON mapping with DESIGN §4's choices
 * (proto names out, both spellings in, default values written, absent oneof and optional members left out, int64 as
 * strings unless `json_number`, RFC 3339 with microseconds, `raw_json` inline and token for token, `decimal` digit for
 * digit, `internal` never shown).
 *
 * Works on packed bytes in both directions, so that stored records and unknown fields pass without protobuf-c.
 *
 * Threads  Any.  Blocking  Never.
 */
#pragma once

#include "base/arena.h"
#include "base/bytes.h"
#include "base/status.h"
#include "schema/schema.h"

/*
 * Reads a JSON object into packed bytes of `message`, appended to `wire`. An unknown member is UNKNOWN_FIELD, a
 * wrong type or value INVALID_FIELD, a text that is no JSON INVALID_JSON; field faults carry the path, and all faults
 * of one text are listed in status.faults (in `arena`). null = absent.
 */
STATUS_MUST_CHECK struct status transcode_to_wire(struct arena *arena, const struct schema_message *message,
                                                  struct bytes json, struct buffer *wire);

/* Appends the message as compact JSON. DATA_LOSS/DAMAGED when the bytes are not a `message`. */
STATUS_MUST_CHECK struct status transcode_to_json(const struct schema_message *message, struct bytes wire,
                                                  struct buffer *json);

/*
 * One scalar, time or duration from a plain text, as in a path or a query. `quoted`: an enum by name, else by number.
 * False when it is not such a value.
 */
bool transcode_put_text(struct arena *arena, const struct schema_field *field, struct bytes text, bool quoted,
                        struct buffer *wire);

/* The field that a mistyped name was probably meant to be, or NULL. */
const char *transcode_nearest(const struct schema_message *message, struct bytes name);
