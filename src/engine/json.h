/* json.h - stage 7 of 7: blocks -> JSON text; the only writer of the answer's form (api.md section 2). */
#ifndef DS_JSON_H
#define DS_JSON_H

#include "layout.h"

/* A growing text; a failed allocation sticks and is reported once by json_text. */
typedef struct JsonOut
{
    char *text;
    size_t n, room;
    bool failed;
} JsonOut;

/* One page object. Strings are written as valid UTF-8: broken sequences become U+FFFD, U+0000 becomes
 * U+FFFD too (jsonb cannot hold it), so nothing a model says can lose a page. */
void json_page(JsonOut *out, const PageReading *page);

typedef struct DocumentMeta
{
    const char *sha256, *format;
    int page_count; /* of the file, whatever was asked for */
    const char *model, *weights_sha256, *dtype, *mode, *options_hash, *extension, *device;
    bool cached;
    const char *started_at; /* ISO 8601 UTC */
    double duration_ms;
} DocumentMeta;

/* The whole answer. pages: [n] texts written by json_page, in order, and what document.text, error_status and
 * the token sums need of each. */
typedef struct DocumentPage
{
    const char *json; /* of json_page */
    int page;
    const char *text;                       /* plain text of the page */
    const char *error_code, *error_message; /* or NULL */
    int vision_tokens, output_tokens;
} DocumentPage;

void json_document(JsonOut *out, const DocumentMeta *meta, const DocumentPage *pages, int n);

/* dsocr_info's answer: {"format", "page_count", "sha256", "bytes", "pages": [{page, width, height, dpi, orientation}]} */
void json_info(JsonOut *out, const ImageInfo *info, size_t bytes, const char *sha256);

/* {"status": word, "message", "detail", "hint"}: an error on the wire. */
void json_error(JsonOut *out, const DsError *err);

DsStatus json_text(JsonOut *out, char **text, size_t *n,
                   DsError *err); /* malloc'd; takes it over */

#endif
