/* config_fuzz.c - a config.json by a stranger must end in sizes that can be multiplied or in a message.
 *
 * Input: the config; after a zero byte, the processor_config.json. The files are written where a model's would be. */
#include "../../src/engine/model_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST (1 << 20) /* what model_config.c lets a size be */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[64];

static void
remove_files(void)
{
    static const char *names[] = {"config.json", "processor_config.json"};
    char path[128];

    for (int i = 0; i < 2; i++)
    {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

static void
make_folder(void)
{
    strcpy(dir,
           access("/dev/shm", W_OK) == 0 ? "/dev/shm/dsocr-fuzz.XXXXXX" : "/tmp/dsocr-fuzz.XXXXXX");
    if (mkdtemp(dir) == NULL)
        abort();
    atexit(remove_files);
}

static void
put_file(const char *name, const uint8_t *data, size_t n)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    if ((f = fopen(path, "wb")) == NULL)
        abort();
    fwrite(data, 1, n, f);
    fclose(f);
}

static void
in_range(int size, int least)
{
    if (size < least || size > MOST)
        __builtin_trap();
}

static void
check_sizes(const Model *m, const ModelConfig *c)
{
    const int sizes[] = {m->sam.width,     m->sam.heads,  m->sam.patch_h,    m->sam.patch_w,
                         m->flow.dim,      m->flow.heads, m->decoder.hidden, m->decoder.heads,
                         m->decoder.vocab, c->base_h,     c->base_w,         c->tile_h,
                         c->tile_w};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        in_range(sizes[i], 1);
    in_range(m->sam.layers, 1);
    in_range(c->nglobal, 0);
    if (c->nglobal > 256 || memchr(m->facts.name, 0, sizeof m->facts.name) == NULL ||
        memchr(m->facts.prompt, 0, sizeof m->facts.prompt) == NULL)
        __builtin_trap();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    Model *m = calloc(1, sizeof *m);
    ModelConfig c = {0};
    DsError err;

    if (m == NULL)
        return 0;
    if (dir[0] == '\0')
        make_folder();
    put_file("config.json", data, end ? (size_t)(end - data) : size);
    put_file("processor_config.json", end ? end + 1 : data,
             end ? size - (size_t)(end + 1 - data) : 0);
    if (model_config_read(dir, m, &c, &err) == DS_OK)
        check_sizes(m, &c);
    free(m);
    return 0;
}
