/* Rows and objects as tables of libsmartcols. */
#include <libsmartcols/libsmartcols.h>
#include <string.h>

#include "base/json.h"
#include "cli/show_table_internal.h"
#include "cli/terminal_internal.h"

#define GREEN  "green"
#define YELLOW "brown" /* libsmartcols' name of it */
#define RED    "red"

static const struct {
    const char *value;
    const char *color;
} state_colors[] = {
    {"HEALTHY", GREEN},   {"VERIFIED", GREEN}, {"SUCCEEDED", GREEN}, {"true", GREEN},
    {"DEGRADED", YELLOW}, {"PENDING", YELLOW}, {"RUNNING", YELLOW},  {"CANCELLED", YELLOW},
    {"UNHEALTHY", RED},   {"FAILED", RED},     {"DIVERGENT", RED},   {"false", RED},
};

static struct status no_memory(void)
{
    return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the table");
}

static const char *color_of(unsigned flags, const char *text)
{
    if ((flags & COLUMN_NAME) != 0)
        return "cyan";
    for (size_t i = 0; (flags & COLUMN_STATE) != 0 && i < sizeof state_colors / sizeof state_colors[0]; i++)
        if (strcmp(text, state_colors[i].value) == 0)
            return state_colors[i].color;
    return NULL;
}

/* What stands in a cell: a string without its quotes, anything else as it is in JSON. */
static struct status add_value(struct arena *arena, const struct json_value *value, struct buffer *to)
{
    struct buffer json = buffer_in(arena, 0);
    struct bytes text = BYTES_NONE;
    if (value == NULL || value->kind == JSON_NULL)
        return status_ok();
    if (value->kind == JSON_STRING) {
        STATUS_TRY(json_string(arena, value, &text));
    } else {
        json_write(value, &json);
        STATUS_TRY(buffer_status(&json));
        text = buffer_bytes(&json);
    }
    terminal_add_text(to, text);
    return buffer_status(to);
}

static struct status set_cell(struct show *show, struct libscols_line *line, size_t column, unsigned flags,
                              const struct json_value *value)
{
    struct buffer text = buffer_in(show->arena, 0);
    STATUS_TRY(add_value(show->arena, value, &text));
    buffer_add_byte(&text, '\0');
    STATUS_TRY(buffer_status(&text));
    if (scols_line_set_data(line, column, (const char *)text.data) != 0)
        return no_memory();
    const char *color = color_of(flags, (const char *)text.data);
    if (color != NULL && scols_cell_set_color(scols_line_get_cell(line, column), color) != 0)
        return no_memory();
    return status_ok();
}

/* --- lists --- */

static struct libscols_table *new_table(const struct show *show)
{
    struct libscols_table *table = scols_new_table();
    if (table == NULL)
        return NULL;
    (void)scols_table_enable_colors(table, show->color ? 1 : 0);
    (void)scols_table_enable_noencoding(table, 1); /* cells are made safe here, by stricter rules */
    return table;
}

static struct status add_columns(const struct show *show, struct libscols_table *table,
                                 const struct cli_column *columns)
{
    for (size_t i = 0; columns[i].title != NULL; i++) {
        const int flags = ((columns[i].flags & COLUMN_RIGHT) != 0 ? SCOLS_FL_RIGHT : 0) |
                          ((columns[i].flags & COLUMN_CUT) != 0 ? SCOLS_FL_TRUNC : 0);
        struct libscols_column *column =
            scols_table_new_column(table, columns[i].title, (double)show->widths[i], flags);
        if (column == NULL ||
            (show->color && scols_cell_set_color(scols_column_get_header(column), "bold") != 0))
            return no_memory();
    }
    return status_ok();
}

struct status show_table_row(struct show *show, const struct cli_column *columns,
                             const struct json_value *object)
{
    if (show->table == NULL) {
        show->table = new_table(show);
        if (show->table == NULL)
            return no_memory();
        STATUS_TRY(add_columns(show, show->table, columns));
        (void)scols_table_enable_noheadings(show->table, show->printed > 0 ? 1 : 0);
    }
    struct libscols_line *line = scols_table_new_line(show->table, NULL);
    if (line == NULL)
        return no_memory();
    for (size_t i = 0; columns[i].title != NULL; i++)
        STATUS_TRY(
            set_cell(show, line, i, columns[i].flags, json_member(object, bytes_of_text(columns[i].member))));
    show->rows++;
    return status_ok();
}

static void remember_widths(struct show *show)
{
    for (size_t i = 0;
         i < scols_table_get_ncols(show->table) && i < sizeof show->widths / sizeof show->widths[0]; i++) {
        const struct libscols_column *column = scols_table_get_column(show->table, i);
        const size_t width = scols_column_get_width(column);
        if ((scols_column_get_flags(column) & SCOLS_FL_TRUNC) == 0 && width > show->widths[i])
            show->widths[i] = width;
    }
}

struct status show_table_print(struct show *show)
{
    if (show->table == NULL)
        return status_ok();
    const int failed = scols_print_table(show->table);
    remember_widths(show);
    scols_unref_table(show->table);
    show->table = NULL;
    show->printed += show->rows;
    show->rows = 0;
    return failed == 0 ? status_ok()
                       : status_error(STATUS_UNAVAILABLE, "cannot write to the standard output");
}

/* --- one object --- */

static const struct cli_part *part_of(const struct cli_view *view, struct bytes name)
{
    for (const struct cli_part *part = view->parts; part != NULL && part->member != NULL; part++)
        if (bytes_equal(name, bytes_of_text(part->member)))
            return part;
    return NULL;
}

static struct status add_named(struct show *show, struct bytes prefix, struct bytes name,
                               const struct json_value *value)
{
    struct buffer full = buffer_in(show->arena, 0);
    if (prefix.size_bytes > 0) {
        terminal_add_text(&full, prefix);
        buffer_add_byte(&full, '.');
    }
    terminal_add_text(&full, name);
    buffer_add_byte(&full, '\0');
    STATUS_TRY(buffer_status(&full));
    struct libscols_line *line = scols_table_new_line(show->table, NULL);
    if (line == NULL || scols_line_set_data(line, 0, (const char *)full.data) != 0 ||
        (show->color && scols_cell_set_color(scols_line_get_cell(line, 0), "cyan") != 0))
        return no_memory();
    return set_cell(show, line, 1, COLUMN_STATE, value);
}

/* Nothing to look at: "" or []. */
static bool is_empty(const struct json_value *value)
{
    return (value->kind == JSON_ARRAY_BEGIN && value->count == 0) ||
           (value->kind == JSON_STRING && value->token.size_bytes == 2);
}

static struct status add_members(struct show *show, struct bytes prefix, const struct json_value *object)
{
    for (size_t i = 0; i < object->count; i++) {
        const struct json_member *member = &object->members[i];
        if (part_of(show->view, member->name) != NULL || is_empty(member->value))
            continue;
        if (show->view->flat && member->value->kind == JSON_OBJECT_BEGIN && prefix.size_bytes == 0)
            STATUS_TRY(add_members(show, member->name, member->value)); /* one level: then JSON */
        else
            STATUS_TRY(add_named(show, prefix, member->name, member->value));
    }
    return status_ok();
}

static struct status print_parts(struct show *show, const struct json_value *object)
{
    for (const struct cli_part *part = show->view->parts; part != NULL && part->member != NULL; part++) {
        const struct json_value *list = json_member(object, bytes_of_text(part->member));
        if (list == NULL || list->kind != JSON_ARRAY_BEGIN || list->count == 0)
            continue;
        (void)printf("\n");
        show->printed = 0; /* a table of its own, with its headings */
        memset(show->widths, 0, sizeof show->widths);
        for (size_t i = 0; i < list->count; i++)
            STATUS_TRY(show_table_row(show, part->columns, list->elements[i]));
        STATUS_TRY(show_table_print(show));
    }
    return status_ok();
}

struct status show_table_object(struct show *show, const struct json_value *object)
{
    show->table = new_table(show);
    if (show->table == NULL || scols_table_new_column(show->table, "NAME", 0, 0) == NULL ||
        scols_table_new_column(show->table, "VALUE", 0, SCOLS_FL_WRAP) == NULL)
        return no_memory();
    (void)scols_table_enable_noheadings(show->table, 1);
    STATUS_TRY(add_members(show, BYTES_NONE, object));
    STATUS_TRY(show_table_print(show));
    return print_parts(show, object);
}
