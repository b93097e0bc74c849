#include "schema/schema.h"

#include <string.h>

/* Sizes first: most names of a message differ in size, so few bytes are ever compared. */
static int compare_names(const struct schema_name *name, struct bytes wanted)
{
    if (name->size_bytes != wanted.size_bytes)
        return name->size_bytes < wanted.size_bytes ? -1 : 1;
    return memcmp(name->name, wanted.data, wanted.size_bytes);
}

const struct schema_field *schema_field_by_name(const struct schema_message *message, struct bytes name)
{
    if (name.size_bytes == 0)
        return NULL;
    size_t low = 0;
    size_t high = message->name_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = compare_names(&message->names[middle], name);
        if (order == 0)
            return &message->fields[message->names[middle].place];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const struct schema_message *schema_message_by_name(struct bytes name)
{
    size_t low = 0;
    size_t high = schema_message_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = bytes_compare(bytes_of_text(schema_messages[middle]->name), name);
        if (order == 0)
            return schema_messages[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const struct schema_enum_value *schema_enum_by_name(const struct schema_enum *values, struct bytes name)
{
    for (size_t i = 0; i < values->count; i++)
        if (bytes_equal(bytes_of_text(values->values[i].name), name))
            return &values->values[i];
    return NULL;
}

const struct schema_enum_value *schema_enum_by_number(const struct schema_enum *values, int32_t number)
{
    for (size_t i = 0; i < values->count; i++)
        if (values->values[i].number == number)
            return &values->values[i];
    return NULL;
}
