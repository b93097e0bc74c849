/*
 * gRPC over HTTP/2 as bytes (its PROTOCOL-HTTP2 page): message frames, time-outs, percent-encoded trailers.
 * Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define GRPC_FRAME_HEAD_BYTES 5U
#define GRPC_MESSAGE_MAX_BYTES                                                                               \
    ((size_t)64 * 1024 * 1024) /* the state of an aggregate has no bound of its own */
#define GRPC_TIMEOUT_TEXT_BYTES 12U

/* A message with its head in front. */
void grpc_frame_add(struct buffer *to, struct bytes message);

enum grpc_frame { GRPC_FRAME_MORE, GRPC_FRAME_WHOLE, GRPC_FRAME_WRONG };
/* The message at the beginning of `input`; its frame has GRPC_FRAME_HEAD_BYTES more. WRONG: compressed or too large. */
enum grpc_frame grpc_frame_next(struct bytes input, struct bytes *ret_message);

/* "1500m": at least a millisecond, at most 8 digits. */
void grpc_timeout_write(int64_t left_us, char ret[GRPC_TIMEOUT_TEXT_BYTES]);

/* What cannot be decoded is kept as it stands. */
void grpc_message_decode(struct bytes text, struct buffer *to);
/* A decimal number of up to 9 digits; -1: none. */
int grpc_number(struct bytes text);
