/* What reading heads and reading bodies share. */
#pragma once

#include <string.h>

#include "gateway/http/h1_parser.h"

static inline enum h1_step h1_refuse(struct h1_refusal *ret, int http_status, struct status status)
{
    ret->http_status = http_status;
    ret->status = status;
    return H1_REFUSED;
}

#define REFUSE_400(ret, ...) h1_refuse(ret, 400, status_error(STATUS_INVALID_ARGUMENT, __VA_ARGS__))

/* RFC 9110 5.6.2 */
static inline bool is_token_char(uint8_t c)
{
    if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
        return true;
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static inline bool is_control(uint8_t c)
{
    return (c < 0x20 && c != '\t') || c == 0x7f;
}
