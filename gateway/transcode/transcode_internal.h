/* Values of single fields, shared by the readers and the writer. */
#pragma once

#include "base/base64.h"
#include "gateway/transcode/transcode.h"

#define NANOS_A_SECOND 1000000000

/* google.protobuf.Duration's bound, 10,000 years. */
#define DURATION_MAX_S INT64_C(315576000000)

/* The integer that a JSON number or a decimal text means, exactly; false when it is none or does not fit. */
bool integer_parse(struct bytes text, int64_t *ret);

/* A JSON number as a finite double; `quoted` allows NaN, Infinity and -Infinity. */
bool double_parse(struct bytes text, bool quoted, double *ret);
void double_write(double value, struct buffer *to); /* the shortest text that reads as the same number */

/* "1.5s" and the like. */
bool duration_parse(struct bytes text, int64_t *ret_seconds, int32_t *ret_nanos);
/* With quotes. Seconds and nanos must be within Duration's bounds. */
void duration_write(int64_t seconds, int32_t nanos, struct buffer *to);

/* True when a message's `data` is bytes, not JSON, by its content_type. */
bool is_opaque(struct bytes content_type);
