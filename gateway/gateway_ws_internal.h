/* /ws: subscriptions over text frames (proto/strata/v1/websocket.proto). */
#pragma once

#include "gateway/gateway_internal.h"

STATUS_MUST_CHECK struct status gateway_ws_start(struct gateway *gateway,
                                                 const struct gateway_options *options);
void gateway_ws_stop(struct gateway *gateway, int64_t drain_ms); /* nothing was started: does nothing */

/* Is the query one that /ws understands? */
STATUS_MUST_CHECK struct status gateway_ws_check(const struct http_request *request);
/* A checked handshake; OK: the socket is taken. */
STATUS_MUST_CHECK struct status gateway_ws_adopt(struct gateway *gateway, const struct http_request *request,
                                                 int fd);
