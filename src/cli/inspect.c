/* inspect.c - dsocr info, verify, dump and read --stage: looking into files, models and the stages between. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

#include "sha256.h"

static DsStatus
print_info(const char *path, DsError *err)
{
    uint8_t *blob = NULL;
    size_t n, length;
    Arena arena;
    ImageInfo info;
    JsonOut out = {0};
    DsStatus st;
    char sha[65], *text;

    arena_init(&arena, 0);
    if ((st = slurp(path, &blob, &n, err)) == DS_OK &&
        (st = image_info(blob, n, &image_default_limits, &arena, &info, err)) == DS_OK)
    {
        sha256_name(blob, n, sha);
        json_info(&out, &info, n, sha);
        if ((st = json_text(&out, &text, &length, err)) == DS_OK)
        {
            puts(text);
            free(text);
        }
    }
    free(blob);
    arena_free(&arena);
    return st;
}

int
command_info(const Cli *c)
{
    int failures = 0;
    DsError err;

    for (int i = 0; i < c->nfiles; i++)
        if (print_info(c->files[i], &err))
            failures += complain(c->files[i], &err);
    return failures > 0;
}

int
command_verify(const Cli *c)
{
    Cli with = *c;
    DsEngine *e;
    DsEngineFacts f;
    DsError err;

    with.model = c->files[0];
    if (open_engine(&with, false, &e, &err) || (c->hash && ds_hash_weights(e, &err)))
        return complain(c->files[0], &err);
    f = ds_facts(e);
    printf("model       %s\nreader      %s\nparameters  %llu\nweights     %s, %llu bytes\n"
           "device      %s, %d thread%s, %d sequences at once\n",
           f.model, f.reads_lines ? "lines" : "pages", (unsigned long long)f.parameters, f.dtype,
           (unsigned long long)f.weight_bytes, f.device, f.threads, f.threads == 1 ? "" : "s",
           f.slots);
    if (f.adapter)
        printf("adapter     %s, rank %d beside %d linears, %llu parameters, sha256 %s\n",
               f.adapter->name, f.adapter->rank, f.adapter->linears,
               (unsigned long long)f.adapter->parameters, f.adapter->sha256);
    if (c->hash)
        printf("sha256      %s\n", f.weights_sha256);
    ds_close(e);
    return 0;
}

/* "0,I,201,17" -> ids, I (the image rows) as -2. Returns their number, or -1. */
static int
parse_prompt_ids(const char *text, int32_t *ids, int room)
{
    int n = 0;

    while (*text && n < room)
    {
        char *end = (char *)text + 1;
        long v = *text == 'I' ? -2 : strtol(text, &end, 10);

        if (end == text || v < -2 || v == -1 || v > INT32_MAX || (*end && *end != ','))
            return -1;
        ids[n++] = (int32_t)v;
        text = *end ? end + 1 : end;
    }
    return *text ? -1 : n;
}

/* The first page of a file, decoded. */
static DsStatus
first_page(const char *path, Image *image, DsError *err)
{
    uint8_t *blob;
    size_t n;
    Arena arena;
    ImageInfo info;
    DsStatus st;

    if ((st = slurp(path, &blob, &n, err)))
        return st;
    arena_init(&arena, 0);
    if ((st = image_info(blob, n, &image_default_limits, &arena, &info, err)) == DS_OK)
        st = decode_page(blob, n, &info, 0, image, err);
    arena_free(&arena);
    free(blob);
    return st;
}

int
command_dump(const Cli *c)
{
    int32_t ids[4096];
    DsDumpOptions o = {.prompt = c->prompt, .max_tokens = c->max_tokens, .no_eos = c->no_eos};
    DsEngine *e = NULL;
    Image image;
    DsError err;
    DsStatus st;
    char *text;

    if (c->prompt_ids)
    {
        o.prompt_ids = ids;
        if ((o.nprompt_ids = parse_prompt_ids(c->prompt_ids, ids, 4096)) < 0)
        {
            fprintf(stderr, "dsocr: --prompt-ids takes ids and I, as in 0,I,201,17\n");
            return 2;
        }
    }
    if ((st = open_engine(c, true, &e, &err)) == DS_OK &&
        (st = first_page(c->files[0], &image, &err)) == DS_OK)
    {
        if ((st = ds_dump(e, &image, &o, &text, &err)) == DS_OK)
        {
            puts(text);
            free(text);
        }
        free(image.pixels);
    }
    ds_close(e);
    return st ? complain(c->files[0], &err) : 0;
}

/* Writes an image as PNG into the working directory. */
static DsStatus
write_png(const Image *image, const char *path, DsError *err)
{
    uint8_t *png;
    size_t n;
    FILE *f;
    DsStatus st;

    if ((st = image_write_png(image, &png, &n, err)))
        return st;
    if ((f = fopen(path, "wb")) == NULL || fwrite(png, 1, n, f) != n)
        st = ds_fail(err, DS_BAD_INPUT, "%s cannot be written", path);
    if (f)
        fclose(f);
    free(png);
    return st;
}

/* image: page.png; views: view-000.png and so on, and what lines gives; the others as JSON on standard output. */
int
command_stage(const Cli *c)
{
    DsRequest r;
    DsEngine *e = NULL;
    DsPage *page = NULL;
    Image image = {0};
    DsError err;
    DsStatus st;
    char *text = NULL;

    if ((st = cli_request(c, &r, &err)) || (st = first_page(c->files[0], &image, &err)))
        return complain(c->files[0], &err);
    if (strcmp(c->stage, "image") == 0)
        st = write_png(&image, "page.png", &err);
    else if ((st = open_engine(c, false, &e, &err)) == DS_OK &&
             (st = ds_page_begin(e, &image, 1, &r.options, NULL, NULL, &page, &err)) == DS_OK &&
             (st = ds_page_stage(e, page, c->stage, write_png, &text, &err)) == DS_OK && text)
        puts(text);
    free(text);
    ds_page_end(e, page);
    ds_close(e);
    free(image.pixels);
    return st ? complain(c->files[0], &err) : 0;
}
