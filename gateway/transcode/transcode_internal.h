/* Values of single fields, shared by the JSON reader and the query reader. */
#pragma once

#include "gateway/transcode/transcode.h"

/* The integer that a JSON number or a decimal text means, exactly; false when it is none or does not fit. */
bool integer_parse(struct bytes text, int64_t *ret);

/* "1.5s" and the like. */
bool duration_parse(struct bytes text, int64_t *ret_seconds, int32_t *ret_nanos);
void duration_write(int64_t seconds, int32_t nanos, struct buffer *to);

/* Either alphabet of RFC 4648, with or without padding; appended to `to`. */
bool base64_decode(struct bytes text, struct buffer *to);
void base64_encode(struct bytes bytes, struct buffer *to);

/* True when `message` gives this raw_json field another form by its content_type. */
bool is_opaque(struct bytes content_type);

void put_time(struct buffer *wire, uint32_t number, int64_t time_us);
void put_duration(struct buffer *wire, uint32_t number, int64_t seconds, int32_t nanos);
