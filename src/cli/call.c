/* The command that is one call: its request comes from the options, its reply goes through the view. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/call_internal.h"
#include "cli/cli_internal.h"
#include "cli/show_internal.h"

#define PAGE_MAX 1000

void *cli_arguments(struct cli_run *run)
{
    return run->arguments;
}

struct status cli_connect(struct cli_run *run, struct client **ret)
{
    const struct cli_common *common = run->arguments;
    run->asks_service = true;
    return client_new(common->address, ret);
}

struct status cli_call(struct cli_run *run, struct client *client, int method, struct bytes request,
                       struct bytes *ret_reply)
{
    const char *path = schema_method((enum schema_method_id)method)->path;
    return client_unary(client, path, request, CLI_TIMEOUT_MS, run->replies, ret_reply);
}

struct bytes cli_pack(struct arena *arena, const ProtobufCMessage *message)
{
    const size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = arena_alloc(arena, size);
    if (packed == NULL)
        return BYTES_NONE;
    (void)protobuf_c_message_pack(message, packed); /* writes exactly the size asked for above */
    return bytes_of(packed, size);
}

struct status cli_show_reply(struct cli_run *run, const struct schema_message *message, struct bytes reply)
{
    struct show show;
    struct status status = show_open(run->arguments, run->command->view, &show);
    if (status.code == STATUS_OK)
        status = show_message(&show, message, reply);
    if (status.code == STATUS_OK)
        status = show_end(&show);
    show_done(&show);
    return status;
}

/* --- lists --- */

struct list {
    struct cli_run *run;
    struct client *client;
    struct show show;
    const struct schema_method *method;
    const struct schema_field *rows;
    const struct schema_field *size;
    const struct schema_field *token;
    const struct schema_field *next_token;
    int64_t left; /* rows still wanted; -1 = all */
};

/* Shows the rows of a page; *ret_token is that of the next one, empty at the end. */
static struct status show_page(struct list *list, struct bytes page, struct bytes *ret_token)
{
    struct wire_field field;
    *ret_token = BYTES_NONE;
    for (size_t at = 0; at < page.size_bytes;) {
        if (!wire_next(page, &at, &field))
            return status_error(STATUS_DATA_LOSS, "the service sent an answer that cannot be read");
        if (field.number == list->next_token->number)
            *ret_token = field.bytes;
        if (field.number != list->rows->number || list->left == 0)
            continue;
        STATUS_TRY(show_message(&list->show, list->rows->message, field.bytes));
        list->left -= list->left > 0;
    }
    return show_flush(&list->show);
}

/* The same request again, for the page behind `token`. */
static struct status get_page(struct list *list, struct bytes token, struct bytes *ret_page)
{
    struct bytes request = BYTES_NONE;
    arena_reset(list->run->replies);
    struct buffer paged = buffer_in(list->run->replies, 0);
    STATUS_TRY(cli_request(list->run, &request));
    buffer_add_bytes(&paged, request);
    wire_put_uint(&paged, list->size->number,
                  (uint64_t)(list->left < 0 || list->left > PAGE_MAX ? PAGE_MAX : list->left));
    if (token.size_bytes > 0)
        wire_put_bytes(&paged, list->token->number, token);
    STATUS_TRY(buffer_status(&paged));
    return cli_call(list->run, list->client, list->run->command->method, buffer_bytes(&paged), ret_page);
}

static struct status show_pages(struct list *list)
{
    struct bytes token = BYTES_NONE;
    struct bytes page = BYTES_NONE;
    struct buffer kept = buffer_make(0); /* the token, over the arena's reset */
    struct status status;
    do {
        status = get_page(list, buffer_bytes(&kept), &page);
        if (status.code == STATUS_OK)
            status = show_page(list, page, &token);
        buffer_clear(&kept);
        buffer_add_bytes(&kept, token);
    } while (status.code == STATUS_OK && token.size_bytes > 0 && list->left != 0);
    if (status.code == STATUS_OK)
        status = show_end(&list->show);
    if (status.code == STATUS_OK && token.size_bytes > 0)
        (void)fprintf(stderr, "strata: there are more; --limit N shows as many, --limit 0 all\n");
    buffer_done(&kept);
    return status;
}

static struct status show_list(struct cli_run *run, struct client *client)
{
    const struct list_arguments *arguments = run->arguments;
    const struct schema_method *method = schema_method((enum schema_method_id)run->command->method);
    struct list list = {
        .run = run,
        .client = client,
        .method = method,
        .rows = schema_field_by_name(method->reply, bytes_of_text(run->command->view->list)),
        .size = schema_field_by_name(method->request, BYTES_LITERAL("page_size")),
        .token = schema_field_by_name(method->request, BYTES_LITERAL("page_token")),
        .next_token = schema_field_by_name(method->reply, BYTES_LITERAL("next_page_token")),
        .left = arguments->limit == 0 ? -1 : arguments->limit,
    };
    struct status status = show_open(&arguments->common, run->command->view, &list.show);
    if (status.code == STATUS_OK)
        status = show_pages(&list);
    show_done(&list.show);
    return status;
}

struct status cli_call_and_show(struct cli_run *run)
{
    CLEANUP(client_free_at) struct client *client = NULL;
    struct bytes request = BYTES_NONE;
    struct bytes reply = BYTES_NONE;
    STATUS_TRY(cli_connect(run, &client));
    if (run->command->view->list != NULL)
        return show_list(run, client);
    STATUS_TRY(cli_request(run, &request));
    STATUS_TRY(cli_call(run, client, run->command->method, request, &reply));
    return cli_show_reply(run, schema_method((enum schema_method_id)run->command->method)->reply, reply);
}
