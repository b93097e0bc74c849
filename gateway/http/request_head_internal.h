/* Which characters what may have; shared by the heads of both protocols. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

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
