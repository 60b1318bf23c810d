/* model_fuzz.c - a config.json by a stranger, beside weights: a message, or a model that can be computed with.
 *
 * Input: the file. It is put beside the weights of a tiny toy, and what opens reads an image: a size that the tensors do
 * not contradict must not lead out of bounds later. mktoy lies beside the fuzzer. */
#include "../../src/engine/dsocr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOY                                                                                        \
    "base=32 tile=32 patch=8 width=8 heads=2 blocks=2 global=1 window=3 sam_mlp=32 neck=4 net2=4 " \
    "dim=16 layers=1 inner=8 hidden=16 dlayers=2 dense=8 experts=4 moe=8 shared=1 vocab=310 "      \
    "positions=64"

static char dir[] = "/tmp/dsocr-model-fuzz.XXXXXX";

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
remove_toy(void)
{
    static const char *const files[] = {"config.json", "tokenizer.json", "model.safetensors"};
    char path[128];

    for (int i = 0; i < 3; i++)
    {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        unlink(path);
    }
    rmdir(dir);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *self = (*argv)[0], *slash = strrchr(self, '/');
    char command[1024];

    (void)argc;
    snprintf(command, sizeof command, "%.*s/mktoy %s " TOY " >/dev/null",
             slash ? (int)(slash - self) : 1, slash ? self : ".", mkdtemp(dir));
    atexit(remove_toy);
    if (system(command) != 0)
    {
        fprintf(stderr, "mktoy is not there: make BUILD=build-fuzz fuzzers\n");
        exit(1);
    }
    return 0;
}

static void
read_something(DsEngine *e)
{
    static uint8_t pixels[40 * 40];
    Image image = {40, 40, 1, 0, pixels};
    DsOptions options = {
        .rotate = 0, .max_crops = 1, .max_tokens = 2, .ngram_size = -1, .ngram_window = -1};
    DsPage *page;
    DsError err;
    bool worked = true;

    memset(pixels, 255, sizeof pixels);
    for (int y = 12; y < 28; y++)
        memset(pixels + 40 * y + 8, 0, y % 2 ? 4 : 20);
    if (ds_page_begin(e, &image, 1, &options, NULL, NULL, &page, &err) != DS_OK)
        return;
    for (int steps = 0; steps < 20 && worked && !ds_page_done(page); steps++)
        if (ds_step(e, &page, 1, &worked, &err) != DS_OK)
            __builtin_trap();
    ds_page_end(e, page);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    DsSettings settings = {.model_dir = dir, .backend = "generic", .threads = 1, .max_batch = 1};
    char path[128];
    DsEngine *e;
    DsError err;
    FILE *f;

    snprintf(path, sizeof path, "%s/config.json", dir);
    f = fopen(path, "wb");
    if (f == NULL || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        return 0;
    err.message[0] = '\0';
    if (ds_open(&settings, &e, &err) != DS_OK)
    {
        if (err.message[0] == '\0')
            __builtin_trap();
        return 0;
    }
    read_something(e);
    ds_close(e);
    return 0;
}
