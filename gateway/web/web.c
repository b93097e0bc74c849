#include "gateway/web/web.h"

#include "web_embedded.h"

#define FILE_OF(name)                                                                                        \
    {                                                                                                        \
        (name), sizeof(name)                                                                                 \
    }

const struct web_file web_files[] = {
    {"/docs", "text/html; charset=utf-8", FILE_OF(web_docs_html)},
    {"/docs/docs.css", "text/css; charset=utf-8", FILE_OF(web_docs_css)},
    {"/docs/docs.js", "text/javascript; charset=utf-8", FILE_OF(web_docs_js)},
    {"/docs/icon.svg", "image/svg+xml", FILE_OF(web_icon_svg)},
};
const size_t web_file_count = ARRAY_COUNT(web_files);
