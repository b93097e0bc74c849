#include "cli/terminal_internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

bool terminal_has_color(enum terminal_color wanted)
{
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    if (wanted != TERMINAL_COLOR_AUTO)
        return wanted == TERMINAL_COLOR_ALWAYS;
    return isatty(STDOUT_FILENO) == 1 && (no_color == NULL || no_color[0] == '\0') && term != NULL &&
           strcmp(term, "dumb") != 0;
}

/* Unicode's Bidi_Control, line and paragraph separators, and the invisible characters that hide text. */
static bool is_deceiving(uint32_t point)
{
    return point == 0x061c || (point >= 0x200b && point <= 0x200f) || (point >= 0x2028 && point <= 0x202e) ||
           (point >= 0x2060 && point <= 0x206f) || point == 0xfeff || (point >= 0xfff9 && point <= 0xfffb) ||
           (point >= 0xe0000 && point <= 0xe007f);
}

static bool is_control(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point < 0xa0);
}

static void add_escaped(struct buffer *to, uint32_t point)
{
    if (point == '\n')
        buffer_add_text(to, "\\n");
    else if (point == '\t')
        buffer_add_text(to, "\\t");
    else if (point > 0xffff)
        buffer_printf(to, "\\u%04x\\u%04x", 0xd7c0 + (point >> 10), 0xdc00 + (point & 0x3ff));
    else
        buffer_printf(to, "\\u%04x", point);
}

void terminal_add_text(struct buffer *to, struct bytes text)
{
    for (size_t at = 0; at < text.size_bytes;) {
        uint32_t point = 0;
        const size_t size = utf8_sequence(text, at, &point);
        if (size == 0)
            buffer_printf(to, "\\x%02x", text.data[at]);
        else if (is_control(point) || is_deceiving(point))
            add_escaped(to, point);
        else
            buffer_add(to, text.data + at, size);
        at += size == 0 ? 1 : size;
    }
}

void terminal_print(FILE *to, const char *text)
{
    struct buffer shown = buffer_make(0);
    terminal_add_text(&shown, bytes_of_text(text));
    (void)fprintf(to, "%.*s", BYTES_FORMAT(buffer_bytes(&shown)));
    buffer_done(&shown);
}
