/*
 * What a subscriber is sent, read as it arrives: events and the word that it is live, each with its position. Only as much
 * is looked at as that takes.
 *
 * Threads    One at a time for each parser.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "load_socket.h"

/* Identifier, name in options and results. Redis is the yardstick. */
#define FANOUT_TRANSPORT_TABLE(X)                                                                            \
    X(GRPC, "grpc")                                                                                          \
    X(SSE, "sse")                                                                                            \
    X(NDJSON, "ndjson")                                                                                      \
    X(WEBSOCKET, "websocket")                                                                                \
    X(REDIS, "redis")

enum fanout_transport {
#define X(id, name) FANOUT_##id,
    FANOUT_TRANSPORT_TABLE(X)
#undef X
        FANOUT_TRANSPORT_COUNT
};

struct fanout_events {
    void (*on_event)(void *context, int64_t position);
    void (*on_live)(void *context, int64_t position);
    void *context;
};

struct fanout_parser {
    enum fanout_transport transport;
    struct fanout_events events;
    struct load_bytes raw;   /* bytes of the connection that are not a whole frame, chunk or reply */
    struct load_bytes text;  /* SSE, NDJSON: without HTTP's chunks; lines that are not whole */
    bool has_head;           /* HTTP's answer was seen */
    size_t chunk_bytes;      /* left of the chunk, its line end included */
    bool named;              /* SSE: the message is not an event */
    bool live;               /* SSE: but "caught_up" */
    struct load_bytes reply; /* to be sent back: pongs, Redis' next question */
    const char *error;       /* NULL, or constant text */
};

/* A message of a gRPC stream. */
void fanout_parse_message(struct fanout_parser *parser, const uint8_t *message, size_t size_bytes);
/* Bytes of any other connection. False: parser->error says why. */
bool fanout_parse(struct fanout_parser *parser, const uint8_t *data, size_t size_bytes);
/* Redis: asks for what comes after entry "0-N" of the stream "fanout", and to wait for it. */
void fanout_put_question(struct load_bytes *to, int64_t after);
void fanout_parser_done(struct fanout_parser *parser);
