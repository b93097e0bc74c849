#include "gateway/documents_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/crypto.h"
#include "gateway/compress.h"
#include "gateway/gateway_internal.h"
#include "gateway/web/web.h"

#define TAG_DIGEST_BYTES 8U
#define TAG_MAX_BYTES    32U /* quotes, the digest in hexadecimal, "-gzip", NUL */

struct document {
    const char *path;
    const char *type;
    bool page; /* for people: with the policy of the pages */
    struct bytes content;
    char tag[TAG_MAX_BYTES];
    struct buffer gzip; /* empty: it is too small */
    char gzip_tag[TAG_MAX_BYTES];
};

struct documents {
    size_t count;
    struct document items[];
};

/* In its place already. RESOURCE_EXHAUSTED when out of memory. */
static struct status document_init(struct document *document)
{
    static const char digits[] = "0123456789abcdef";
    const struct sha256 digest = sha256_of(&document->content, 1);
    char hex[2 * TAG_DIGEST_BYTES + 1] = "";
    for (size_t i = 0; i < TAG_DIGEST_BYTES; i++) {
        hex[2 * i] = digits[digest.bytes[i] >> 4];
        hex[2 * i + 1] = digits[digest.bytes[i] & 15];
    }
    (void)snprintf(document->tag, sizeof document->tag, "\"%s\"", hex); /* fits */
    (void)snprintf(document->gzip_tag, sizeof document->gzip_tag, "\"%s-gzip\"", hex);
    document->gzip = buffer_make(0);
    if (document->content.size_bytes < COMPRESS_LEAST_BYTES || gzip_whole(document->content, &document->gzip))
        return status_ok();
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for %s", document->path);
}

struct status documents_new(struct documents **ret)
{
    const struct document descriptions[] = {
        {.path = "/openapi.json",
         .type = "application/json",
         .content = bytes_of(schema_openapi_json, schema_openapi_json_bytes)},
        {.path = "/asyncapi.json",
         .type = "application/json",
         .content = bytes_of(schema_asyncapi_json, schema_asyncapi_json_bytes)},
    };
    const size_t count = ARRAY_COUNT(descriptions) + web_file_count;
    CLEANUP(documents_free_at)
    struct documents *documents = calloc(1, sizeof *documents + count * sizeof documents->items[0]);
    if (documents == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the documents");
    for (size_t i = 0; i < ARRAY_COUNT(descriptions); i++)
        documents->items[documents->count++] = descriptions[i];
    for (size_t i = 0; i < web_file_count; i++)
        documents->items[documents->count++] = (struct document){.path = web_files[i].path,
                                                                 .type = web_files[i].type,
                                                                 .page = true,
                                                                 .content = web_files[i].content};
    for (size_t i = 0; i < documents->count; i++)
        STATUS_TRY(document_init(&documents->items[i]));
    *ret = TAKE_PTR(documents);
    return status_ok();
}

void documents_free(struct documents *documents)
{
    if (documents == NULL)
        return;
    for (size_t i = 0; i < documents->count; i++)
        buffer_done(&documents->items[i].gzip);
    free(documents);
}

const struct document *documents_find(const struct documents *documents, struct bytes path)
{
    for (size_t i = 0; i < documents->count; i++)
        if (path_is(path, documents->items[i].path))
            return &documents->items[i];
    return NULL;
}

/* RFC 9110 13.1.2: "*", or a list in which a weak tag is as good as a strong one. */
static bool is_known(const struct http_request *http, const char *tag)
{
    const struct bytes wanted = bytes_of_text(tag);
    struct bytes known = http_request_header(http, "if-none-match");
    while (known.size_bytes > 0) {
        struct bytes entry = header_next_part(&known, ','); /* our tags have no comma */
        if (entry.size_bytes > 2 && entry.data[0] == 'W' && entry.data[1] == '/')
            entry = bytes_of(entry.data + 2, entry.size_bytes - 2);
        if (bytes_equal(entry, wanted) || bytes_equal(entry, BYTES_LITERAL("*")))
            return true;
    }
    return false;
}

void document_serve(const struct document *document, struct http_exchange *exchange)
{
    const struct http_request *http = exchange_request(exchange);
    const bool compressed = document->gzip.size_bytes > 0 && wants_gzip(http);
    const char *tag = compressed ? document->gzip_tag : document->tag;
    const bool known = is_known(http, tag);
    struct answer_headers headers = {.count = 0};
    add_header(&headers, "ETag", bytes_of_text(tag));
    add_header(&headers, "Cache-Control",
               BYTES_LITERAL("no-cache")); /* kept, and asked about: an upgrade is seen */
    if (document->gzip.size_bytes > 0)
        add_header(&headers, "Vary", BYTES_LITERAL("Accept-Encoding"));
    add_header(&headers, "X-Content-Type-Options", BYTES_LITERAL("nosniff"));
    if (document->page) {
        add_header(&headers, "Content-Security-Policy", BYTES_LITERAL(WEB_POLICY));
        add_header(&headers, "Referrer-Policy", BYTES_LITERAL("no-referrer"));
    }
    add_cors(&headers, http);
    if (!known)
        add_header(&headers, "Content-Type", bytes_of_text(document->type));
    if (!known && compressed)
        add_header(&headers, "Content-Encoding", BYTES_LITERAL("gzip"));
    const struct bytes body = compressed ? buffer_bytes(&document->gzip) : document->content;
    exchange_respond(exchange, known ? 304 : 200, headers.items, headers.count, known ? BYTES_NONE : body);
}
