/* What reading heads and reading bodies share. */
#pragma once

#include "gateway/http/h1_parser.h"
#include "gateway/http/request_head_internal.h"

static inline enum h1_step h1_refuse(struct http_refusal *ret, int http_status, struct status status)
{
    ret->http_status = http_status;
    ret->status = status;
    return H1_REFUSED;
}

#define REFUSE_400(ret, ...) h1_refuse(ret, 400, status_error(STATUS_INVALID_ARGUMENT, __VA_ARGS__))
