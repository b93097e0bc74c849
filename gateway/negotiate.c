/* What the client accepts (RFC 9110 12.5), and what a browser of another origin may see (Fetch, CORS). */
#include <string.h>
#include <strings.h>

#include "gateway/gateway_internal.h"

#define EXPOSED        "ETag, Location, Retry-After, Strata-Position, Strata-Replayed, Strata-Request-Id"
#define PREFLIGHT_AGE  "600" /* seconds */
#define QUALITY_FULL   1000
#define QUALITY_DIGITS 3

/* How much a type is wanted: in thousandths, by the entry that names it most closely. */
struct preference {
    int quality;     /* 0 = not at all */
    int specificity; /* 3 by its name, 2 by its range, 1 by the range of all, 0 by nothing */
};

static struct bytes trim(struct bytes text)
{
    while (text.size_bytes > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = bytes_of(text.data + 1, text.size_bytes - 1);
    while (text.size_bytes > 0 &&
           (text.data[text.size_bytes - 1] == ' ' || text.data[text.size_bytes - 1] == '\t'))
        text.size_bytes--;
    return text;
}

struct bytes header_next_part(struct bytes *rest, char separator)
{
    const uint8_t *at = memchr(rest->data, separator, rest->size_bytes);
    const size_t size = at == NULL ? rest->size_bytes : (size_t)(at - rest->data);
    const struct bytes part = trim(bytes_of(rest->data, size));
    const size_t used = at == NULL ? size : size + 1;
    *rest = bytes_of(rest->data + used, rest->size_bytes - used);
    return part;
}

static bool text_is(struct bytes text, const char *wanted)
{
    return text.size_bytes == strlen(wanted) &&
           strncasecmp((const char *)text.data, wanted, text.size_bytes) == 0;
}

/* "q=0.25" → 250. Anything that is no such weight counts as 1. */
static int quality_of(struct bytes parameter)
{
    if (parameter.size_bytes < 3 || (parameter.data[0] | 0x20) != 'q' || parameter.data[1] != '=')
        return QUALITY_FULL;
    if (parameter.data[2] != '0')
        return QUALITY_FULL;
    int quality = 0;
    int scale = QUALITY_FULL / 10;
    for (size_t i = 4; i < parameter.size_bytes && i < 4 + QUALITY_DIGITS; i++, scale /= 10)
        if (parameter.data[i] >= '0' && parameter.data[i] <= '9')
            quality += scale * (parameter.data[i] - '0');
    return quality;
}

static int specificity_of(struct bytes range, const char *type)
{
    const size_t slash = (size_t)(strchr(type, '/') - type);
    if (text_is(range, type))
        return 3;
    if (range.size_bytes == slash + 2 && range.data[slash + 1] == '*' &&
        strncasecmp((const char *)range.data, type, slash + 1) == 0)
        return 2;
    return text_is(range, "*/*") ? 1 : 0;
}

static struct preference preference_of(struct bytes accept, const char *type)
{
    struct preference best = {0, 0};
    while (accept.size_bytes > 0) {
        struct bytes entry = header_next_part(&accept, ',');
        if (entry.size_bytes == 0)
            continue;
        const int specificity = specificity_of(header_next_part(&entry, ';'), type);
        int quality = QUALITY_FULL;
        while (entry.size_bytes > 0) {
            const int given = quality_of(header_next_part(&entry, ';'));
            quality = given < quality ? given : quality;
        }
        if (specificity > best.specificity)
            best = (struct preference){quality, specificity};
    }
    return best;
}

static bool is_list(const struct schema_method *method)
{
    return schema_field_by_name(method->reply, BYTES_LITERAL("next_page_token")) != NULL;
}

bool choose_form(const struct http_request *http, const struct schema_method *method, enum answer_form *ret)
{
    const struct bytes accept = http_request_header(http, "accept");
    const bool stream = method->server_stream;
    *ret = stream ? ANSWER_SSE : ANSWER_JSON;
    if (accept.size_bytes == 0)
        return true;
    const struct preference usual = preference_of(accept, stream ? "text/event-stream" : "application/json");
    const struct preference lines = preference_of(accept, "application/x-ndjson");
    /* Only who names NDJSON gets it: a browser's range of all means the usual form. */
    if ((stream || is_list(method)) && lines.specificity == 3 && lines.quality > 0 &&
        (usual.specificity < 3 || lines.quality >= usual.quality)) {
        *ret = stream ? ANSWER_NDJSON : ANSWER_PAGES;
        return true;
    }
    return usual.quality > 0;
}

/* The weight of a content coding, -1 when nothing names it. */
static int quality_of_coding(struct bytes accept, const char *coding)
{
    int quality = -1;
    while (accept.size_bytes > 0) {
        struct bytes entry = header_next_part(&accept, ',');
        if (text_is(header_next_part(&entry, ';'), coding))
            quality = quality_of(trim(entry));
    }
    return quality;
}

bool wants_gzip(const struct http_request *http)
{
    const struct bytes accept = http_request_header(http, "accept-encoding");
    int quality = quality_of_coding(accept, "gzip");
    if (quality < 0)
        quality = quality_of_coding(accept, "x-gzip"); /* the same, RFC 9110 8.4.1.3 */
    if (quality < 0)
        quality = quality_of_coding(accept, "*");
    return quality > 0 && quality >= quality_of_coding(accept, "identity");
}

bool body_is_plain(const struct http_request *http)
{
    const struct bytes codings = http_request_header(http, "content-encoding");
    return codings.size_bytes == 0 || text_is(codings, "identity");
}

/* --- CORS --- */

void add_header(struct answer_headers *headers, const char *name, struct bytes value)
{
    if (headers->count < ANSWER_HEADERS_MAX)
        headers->items[headers->count++] = (struct http_header){bytes_of_text(name), value};
}

static struct bytes origin_of(const struct http_request *http)
{
    struct bytes origin = BYTES_NONE;
    (void)http_request_header_count(http, "origin", &origin); /* the front lets no second one pass */
    return origin;
}

void add_cors(struct answer_headers *headers, const struct http_request *http)
{
    const struct bytes origin = origin_of(http);
    if (origin.size_bytes == 0)
        return;
    add_header(headers, "Access-Control-Allow-Origin", origin);
    add_header(headers, "Access-Control-Expose-Headers", BYTES_LITERAL(EXPOSED));
    add_header(headers, "Vary", BYTES_LITERAL("Origin"));
}

void respond_options(struct http_exchange *exchange, const char *allow)
{
    struct answer_headers headers = {.count = 0};
    const struct http_request *http = exchange_request(exchange);
    const struct bytes wanted = http_request_header(http, "access-control-request-headers");
    add_header(&headers, "Allow", bytes_of_text(allow));
    add_cors(&headers, http);
    if (origin_of(http).size_bytes > 0) {
        add_header(&headers, "Access-Control-Allow-Methods", bytes_of_text(allow));
        if (wanted.size_bytes > 0)
            add_header(&headers, "Access-Control-Allow-Headers", wanted);
        add_header(&headers, "Access-Control-Max-Age", BYTES_LITERAL(PREFLIGHT_AGE));
    }
    exchange_respond(exchange, 204, headers.items, headers.count, BYTES_NONE);
}
