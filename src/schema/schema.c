#include "schema/schema.h"

#include <string.h>

const struct schema_field *schema_field_by_number(const struct schema_message *message, uint32_t number)
{
    /* Most messages number their fields densely from 1, so the place is usually the first guess. */
    if (number >= 1 && number <= message->field_count && message->fields[number - 1].number == number)
        return &message->fields[number - 1];
    size_t low = 0;
    size_t high = message->field_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (message->fields[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < message->field_count && message->fields[low].number == number ? &message->fields[low] : NULL;
}

static bool name_is(const char *name, struct bytes wanted)
{
    return strncmp(name, (const char *)wanted.data, wanted.size_bytes) == 0 && name[wanted.size_bytes] == '\0';
}

const struct schema_field *schema_field_by_name(const struct schema_message *message, struct bytes name)
{
    if (name.size_bytes == 0)
        return NULL;
    for (size_t i = 0; i < message->field_count; i++)
        if (name_is(message->fields[i].name, name) || name_is(message->fields[i].json_name, name))
            return &message->fields[i];
    return NULL;
}
