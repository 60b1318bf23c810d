/* read.c - dsocr read: files in, text, markdown or JSON out, in the order of the files.
 *
 * Pages of several files are in the engine at once, so that a short page does not leave it half empty. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sha256.h"

#define IN_FLIGHT 4

typedef struct Document
{
    const char *path;
    uint8_t *blob;
    size_t nblob;
    Arena arena;
    ImageInfo info;
    int *wanted; /* [nwanted] pages from 1 */
    int nwanted, begun, done;
    DsPage **pages; /* [nwanted] */
    bool opened, failed;
    struct timespec started;
} Document;

typedef struct Reader
{
    const Cli *cli;
    DsRequest request;
    DsEngine *engine;
    Document *documents; /* [cli->nfiles] */
    DsPage *flying[IN_FLIGHT];
    Document *owner[IN_FLIGHT];
    int nflying;
    int next;    /* the document whose pages are begun now */
    int printed; /* documents out */
    int failures;
    bool progress;
} Reader;

static void
open_document(Reader *r, Document *d)
{
    DsError err;

    d->opened = true;
    clock_gettime(CLOCK_REALTIME, &d->started);
    arena_init(&d->arena, 0);
    if (slurp(d->path, &d->blob, &d->nblob, &err) ||
        image_info(d->blob, d->nblob, &image_default_limits, &d->arena, &d->info, &err) ||
        pages_parse(r->request.pages, d->info.page_count, &d->arena, &d->wanted, &d->nwanted, &err))
    {
        complain(d->path, &err);
        d->failed = true;
        d->nwanted = 0;
        r->failures++;
        return;
    }
    d->pages = arena_array(&d->arena, (size_t)d->nwanted, sizeof *d->pages);
}

/* Decodes and begins the next page of a document; one that cannot be decoded is a page all the same. */
static DsStatus
begin_page(Reader *r, Document *d, DsError *err)
{
    int number = d->wanted[d->begun];
    DsPage **page = &d->pages[d->begun];
    Image image;
    DsStatus st;

    if ((st = decode_page(d->blob, d->nblob, &d->info, number - 1, &image, err)) == DS_OK)
    {
        st = ds_page_begin(r->engine, &image, number, &r->request.options, NULL, NULL, page, err);
        free(image.pixels);
    }
    if (st && st != DS_BROKEN)
    {
        DsError why = *err;

        st = ds_page_failed(number, &why, page, err);
    }
    if (st)
        return st;
    d->begun++;
    r->owner[r->nflying] = d;
    r->flying[r->nflying++] = *page;
    return DS_OK;
}

static DsStatus
fill(Reader *r, DsError *err)
{
    DsStatus st;

    while (r->nflying < IN_FLIGHT && r->next < r->cli->nfiles)
    {
        Document *d = &r->documents[r->next];

        if (!d->opened)
            open_document(r, d);
        if (d->begun == d->nwanted)
            r->next++;
        else if ((st = begin_page(r, d, err)))
            return st;
    }
    return DS_OK;
}

/* The pages' own objects; each text is to be freed. */
static DocumentPage *
write_pages(Document *d, DsError *err)
{
    DocumentPage *pages = arena_array(&d->arena, (size_t)d->nwanted, sizeof *pages);

    for (int i = 0; pages && i < d->nwanted; i++)
    {
        const PageReading *p = ds_page_reading(d->pages[i]);
        JsonOut each = {0};
        char *text = NULL;
        size_t n;

        json_page(&each, p);
        json_text(&each, &text, &n, err);
        pages[i] = (DocumentPage){.json = text,
                                  .page = p->page,
                                  .text = p->text,
                                  .error_code = p->error_code,
                                  .error_message = p->error_message,
                                  .vision_tokens = p->vision_tokens,
                                  .output_tokens = p->output_tokens};
    }
    return pages;
}

static void
print_json(Reader *r, Document *d)
{
    DsEngineFacts f = ds_facts(r->engine);
    JsonOut out = {0};
    char sha[65], hash[65], when[40], *text, *canonical = request_canonical(&r->request, &d->arena);
    size_t n;
    DsError err;
    struct tm utc;
    struct timespec now;
    DocumentPage *pages = write_pages(d, &err);

    clock_gettime(CLOCK_REALTIME, &now);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&d->started.tv_sec, &utc));
    sha256_name(d->blob, d->nblob, sha);
    sha256_name(canonical, strlen(canonical), hash);
    json_document(&out,
                  &(DocumentMeta){.sha256 = sha,
                                  .format = image_format_name(d->info.format),
                                  .page_count = d->info.page_count,
                                  .model = f.model,
                                  .weights_sha256 = f.weights_sha256,
                                  .dtype = f.dtype,
                                  .mode = mode_word(r->request.options.mode),
                                  .options_hash = hash,
                                  .extension = DSOCR_VERSION,
                                  .device = f.device,
                                  .started_at = when,
                                  .duration_ms = (double)(now.tv_sec - d->started.tv_sec) * 1e3 +
                                                 (double)(now.tv_nsec - d->started.tv_nsec) / 1e6},
                  pages, d->nwanted);
    if (json_text(&out, &text, &n, &err) == DS_OK)
    {
        puts(text);
        free(text);
    }
    for (int i = 0; i < d->nwanted; i++)
        free((char *)pages[i].json);
}

static void
print_pages(Reader *r, Document *d)
{
    bool markdown = strcmp(r->cli->format, "markdown") == 0;

    for (int i = 0; i < d->nwanted; i++)
    {
        const PageReading *p = ds_page_reading(d->pages[i]);

        if (strcmp(p->status, "error") == 0)
        {
            fprintf(stderr, "dsocr: %s: page %d: %s\n", d->path, p->page, p->error_message);
            r->failures++;
        }
        printf("%s%s\n", i ? "\n" : "", markdown ? p->markdown : p->text);
    }
}

static void
close_document(Reader *r, Document *d)
{
    for (int i = 0; i < d->begun; i++)
        ds_page_end(r->engine, d->pages[i]);
    free(d->blob);
    arena_free(&d->arena);
}

/* Prints the documents that are next in order and whole. */
static void
print_ready(Reader *r)
{
    for (; r->printed < r->next; r->printed++)
    {
        Document *d = &r->documents[r->printed];

        if (d->done < d->nwanted)
            return;
        if (!d->failed)
            strcmp(r->cli->format, "json") == 0 ? print_json(r, d) : print_pages(r, d);
        fflush(stdout);
        close_document(r, d);
        if (r->progress)
            fprintf(stderr, "\r%d of %d files \033[K%s", r->printed + 1, r->cli->nfiles,
                    r->printed + 1 == r->cli->nfiles ? "\n" : "");
    }
}

static void
land(Reader *r)
{
    int kept = 0;

    for (int i = 0; i < r->nflying; i++)
        if (ds_page_done(r->flying[i]))
            r->owner[i]->done++;
        else
        {
            r->owner[kept] = r->owner[i];
            r->flying[kept++] = r->flying[i];
        }
    r->nflying = kept;
}

static DsStatus
read_all(Reader *r, DsError *err)
{
    DsStatus st;
    bool worked;

    while (r->printed < r->cli->nfiles)
    {
        if ((st = fill(r, err)) || (st = ds_step(r->engine, r->flying, r->nflying, &worked, err)))
            return st;
        land(r);
        print_ready(r);
    }
    return DS_OK;
}

static bool
known_format(const char *f)
{
    return strcmp(f, "text") == 0 || strcmp(f, "markdown") == 0 || strcmp(f, "json") == 0;
}

int
command_read(const Cli *c)
{
    Reader r = {.cli = c,
                .progress = c->nfiles > 1 && isatty(STDERR_FILENO) && !isatty(STDOUT_FILENO)};
    DsError err;
    DsStatus st;

    if (!known_format(c->format))
    {
        fprintf(stderr, "dsocr: --format is text, markdown or json, not \"%s\"\n", c->format);
        return 2;
    }
    if (c->stage)
        return command_stage(c);
    if ((st = cli_request(c, &r.request, &err)) || (st = open_engine(c, false, &r.engine, &err)) ||
        (st = ds_can(r.engine, &r.request.options, &err)) ||
        (strcmp(c->format, "json") == 0 && (st = ds_hash_weights(r.engine, &err))))
        return complain("read", &err);
    if ((r.documents = calloc((size_t)c->nfiles, sizeof *r.documents)) == NULL)
        return 1;
    for (int i = 0; i < c->nfiles; i++)
        r.documents[i].path = c->files[i];
    st = read_all(&r, &err);
    ds_close(r.engine);
    free(r.documents);
    return st ? complain("read", &err) : r.failures > 0;
}
