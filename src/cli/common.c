/* common.c - files, the model's place and messages, for all commands. */
#include "cli.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
complain(const char *what, const DsError *err)
{
    fprintf(stderr, "dsocr: %s: %s\n", what, err->message);
    if (err->detail[0])
        fprintf(stderr, "  %s\n", err->detail);
    if (err->hint[0])
        fprintf(stderr, "  %s\n", err->hint);
    return 1;
}

DsStatus
slurp(const char *path, uint8_t **bytes, size_t *n, DsError *err)
{
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    size_t room = 1 << 16, got;
    uint8_t *more;

    *n = 0;
    *bytes = f ? malloc(room) : NULL;
    while (*bytes && (got = fread(*bytes + *n, 1, room - *n, f)) > 0)
        if ((*n += got) == room)
        {
            if ((more = realloc(*bytes, room *= 2)) == NULL)
                free(*bytes);
            *bytes = more;
        }
    if (*bytes == NULL || ferror(f))
    {
        ds_fail(err, DS_BAD_INPUT, "cannot be read: %s", strerror(errno));
        free(*bytes);
        *bytes = NULL;
    }
    if (f && f != stdin)
        fclose(f);
    return *bytes ? DS_OK : DS_BAD_INPUT;
}

DsStatus
decode_page(const uint8_t *blob, size_t n, const ImageInfo *info, int page, Image *image,
            DsError *err)
{
    const ImagePage *p = &info->pages[page];
    size_t bytes = (size_t)p->width * (size_t)p->height * (size_t)p->channels;
    uint8_t *pixels;
    DsStatus st;

    if (p->status)
        return ds_fail(err, p->status, "%s", p->message);
    if ((pixels = malloc(bytes)) == NULL)
        return ds_fail(err, DS_BROKEN, "out of memory");
    if ((st = image_decode(blob, n, page, &image_default_limits, pixels, bytes, image, err)))
        free(pixels);
    return st;
}

/* The folder of the running program. */
static void
own_folder(char *path, size_t room)
{
    ssize_t n = readlink("/proc/self/exe", path, room - 1);

    path[n < 0 ? 0 : n] = '\0';
    if (strrchr(path, '/'))
        *strrchr(path, '/') = '\0';
}

/* The folder of that name among the models, which holds `file`; with `here` a directory is taken as it is. */
static void
find_folder(const char *name, bool here, const char *file, char *dir, size_t room)
{
    char own[2048], folder[3][2100], config[8300];

    if (here && (strchr(name, '/') || access(name, F_OK) == 0))
    {
        snprintf(dir, room, "%s", name);
        return;
    }
    own_folder(own, sizeof own);
    snprintf(folder[0], sizeof folder[0], "%s/../model", own);
    snprintf(folder[1], sizeof folder[1], "%s/../share/dsocr/models", own);
    snprintf(folder[2], sizeof folder[2], "%s", DSOCR_MODELS_DIR);
    for (int i = 0; i < 3; i++)
    {
        snprintf(dir, room, "%s/%s", folder[i], name);
        snprintf(config, sizeof config, "%s/%s", dir, file);
        if (access(config, F_OK) == 0)
            return;
    }
}

static void
find_model(const Cli *c, char *dir, size_t room)
{
    const char *name = c->model ? c->model : getenv("DSOCR_MODEL");

    find_folder(name ? name : "mini", name != NULL, "config.json", dir, room);
}

DsStatus
open_engine(const Cli *c, bool tokenizer_optional, DsEngine **e, DsError *err)
{
    char dir[8192], adapter[8192] = "";
    DsSettings s = {.model_dir = dir,
                    .no_draft = c->no_draft,
                    .adapter_dir = adapter,
                    .backend = c->backend,
                    .threads = c->threads,
                    .tokenizer_optional = tokenizer_optional};

    find_model(c, dir, sizeof dir);
    if (c->adapter && c->adapter[0])
        find_folder(c->adapter, true, "adapter_config.json", adapter, sizeof adapter);
    return ds_open(&s, e, err);
}

DsStatus
cli_request(const Cli *c, DsRequest *r, DsError *err)
{
    json_error_t error;
    json_t *options =
        c->options ? json_loads(c->options, JSON_REJECT_DUPLICATES, &error) : json_object();
    json_t *all;
    char *text;
    DsStatus st;

    if (options == NULL)
        return ds_fail(err, DS_BAD_REQUEST, "--options is not JSON: %s", error.text);
    all = json_pack("{so}", "options", options);
    if (c->mode)
        json_object_set_new(all, "mode", json_string(c->mode));
    if (c->pages)
        json_object_set_new(all, "pages", json_string(c->pages));
    if (c->question)
        json_object_set_new(all, "question", json_string(c->question));
    text = json_dumps(all, 0);
    json_decref(all);
    if (text == NULL)
        return ds_fail(err, DS_BAD_REQUEST, "the request is not valid UTF-8");
    st = request_parse(text, strlen(text), 1 << 20, r, err);
    free(text);
    return st;
}
