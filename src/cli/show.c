#include "cli/show_internal.h"

#include <errno.h>
#include <libsmartcols/libsmartcols.h>
#include <locale.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "cli/cli_internal.h"
#include "cli/show_table_internal.h"
#include "cli/terminal_internal.h"
#include "gateway/transcode/transcode.h"

struct status show_open(const struct cli_common *common, const struct cli_view *view, struct show *ret)
{
    const bool terminal = isatty(STDOUT_FILENO) == 1;
    enum show_format format = (enum show_format)common->output;
    if (format == SHOW_AUTO)
        format = terminal ? SHOW_TABLE : SHOW_NDJSON;
    *ret = (struct show){
        .format = format,
        .terminal = terminal,
        .color = format == SHOW_TABLE && terminal_has_color((enum terminal_color)common->color),
        .view = view,
        .arena = arena_new(0),
        .text = buffer_make(0),
    };
    if (format == SHOW_TABLE)
        (void)setlocale(LC_CTYPE, ""); /* how wide a character is; without the locale ASCII is */
    return ret->arena == NULL ? status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for what is shown")
                              : status_ok();
}

static struct status write_text(const struct show *show)
{
    STATUS_TRY(buffer_status(&show->text));
    if (fwrite(show->text.data, 1, show->text.size_bytes, stdout) != show->text.size_bytes)
        return status_error(STATUS_UNAVAILABLE, "cannot write to the standard output: %s", strerror(errno));
    return status_ok();
}

/* SHOW_JSON of a list is one array, so that all of the output is one JSON text. */
static void add_json(struct show *show, struct bytes json)
{
    const bool array = show->format == SHOW_JSON && show->view->list != NULL;
    if (array)
        buffer_add_text(&show->text, show->printed == 0 ? "[" : ",\n ");
    if (show->terminal)
        terminal_add_text(&show->text, json);
    else
        buffer_add_bytes(&show->text, json);
    if (!array)
        buffer_add_byte(&show->text, '\n');
}

struct status show_object(struct show *show, struct bytes json)
{
    buffer_clear(&show->text);
    if (show->format != SHOW_TABLE) {
        add_json(show, json);
        show->printed++;
        return write_text(show);
    }
    struct json_value *object = NULL;
    arena_reset(show->arena);
    STATUS_TRY(json_parse(show->arena, json, &object));
    if (object->kind != JSON_OBJECT_BEGIN)
        return status_error(STATUS_INTERNAL, "what is to be shown is no JSON object");
    return show->view->list == NULL ? show_table_object(show, object)
                                    : show_table_row(show, show->view->columns, object);
}

struct status show_message(struct show *show, const struct schema_message *message, struct bytes wire)
{
    struct buffer json = buffer_make(0);
    struct status status = transcode_to_json(message, wire, &json);
    if (status.code == STATUS_OK)
        status = buffer_status(&json);
    if (status.code == STATUS_OK)
        status = show_object(show, buffer_bytes(&json));
    buffer_done(&json);
    return status;
}

struct status show_flush(struct show *show)
{
    if (show->format == SHOW_TABLE)
        STATUS_TRY(show_table_print(show));
    if (fflush(stdout) != 0)
        return status_error(STATUS_UNAVAILABLE, "cannot write to the standard output: %s", strerror(errno));
    return status_ok();
}

struct status show_end(struct show *show)
{
    if (show->format == SHOW_JSON && show->view->list != NULL) {
        buffer_clear(&show->text);
        buffer_add_text(&show->text, show->printed == 0 ? "[]\n" : "]\n");
        STATUS_TRY(write_text(show));
    }
    return show_flush(show);
}

void show_done(struct show *show)
{
    scols_unref_table(show->table);
    arena_free(show->arena);
    buffer_done(&show->text);
}
