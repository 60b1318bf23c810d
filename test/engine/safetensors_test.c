/* safetensors_test.c - weight files: what is sound opens, and every lie is told from a message that names it. */
#include "../../src/engine/safetensors.h"

#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

static char folder[256];

static void
put(const char *name, const void *bytes, size_t n)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (bytes == NULL)
        unlink(path);
    else
        put_file(folder, name, bytes, n);
}

/* A file of this header and `data` bytes of data; the header's length can be told wrong by `lie`. */
static void
put_weights(const char *name, const char *header, size_t data, int lie)
{
    size_t n = strlen(header);
    uint64_t told = (uint64_t)((int64_t)n + lie);
    char *bytes = calloc(1, 8 + n + data);

    memcpy(bytes, &told, 8);
    memcpy(bytes + 8, header, n);
    for (size_t i = 0; i < data; i++)
        bytes[8 + n + i] = (char)(i * 7);
    put(name, bytes, 8 + n + data);
    free(bytes);
}

/* Opening the folder fails as it should, with this in the message or its detail. */
static void
refused(const char *what, const char *says)
{
    SafeTensors *s = NULL;
    DsError err = {0};
    DsStatus st = safetensors_open(folder, &s, &err);

    if (!promise(what, st == DS_NOT_READY && s == NULL &&
                           (strstr(err.message, says) || strstr(err.detail, says))))
        printf("     %d: %s (%s)\n", (int)st, err.message, err.detail);
    safetensors_close(s);
}

static void
one_bad(const char *what, const char *header, size_t data, const char *says)
{
    put_weights("model.safetensors", header, data, 0);
    refused(what, says);
}

#define A "\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}"
#define B "\"b\":{\"dtype\":\"BF16\",\"shape\":[5],\"data_offsets\":[24,34]}"

static void
test_sound(void)
{
    SafeTensors *s;
    DsError err;
    const SafeTensor *t;
    const char *name;
    size_t n;

    put_weights("model.safetensors",
                "{\"__metadata__\":{\"x\":\"y\"}," A "," B
                ",\"empty\":{\"dtype\":\"F16\",\"shape\":[0,4],"
                "\"data_offsets\":[24,24]},\"scalar\":{\"dtype\":\"F32\",\"shape\":[],"
                "\"data_offsets\":[34,38]}}   ",
                38, 0);
    if (!promise("a sound file opens", safetensors_open(folder, &s, &err) == DS_OK))
        return;
    t = safetensors_find(s, "a");
    promise("a tensor has its dtype and shape",
            t && t->tensor.dtype == DTYPE_F32 && t->tensor.rank == 2 && t->tensor.shape[0] == 2 &&
                t->tensor.shape[1] == 3 && t->tensor.count == 6);
    promise("its data begin after the header",
            ((const char *)safetensors_find(s, "b")->tensor.data)[0] == (char)(24 * 7));
    promise("empty and scalar ones are legal",
            safetensors_find(s, "empty")->tensor.count == 0 &&
                safetensors_find(s, "scalar")->tensor.count == 1);
    promise("metadata is no tensor",
            safetensors_count(s) == 4 && safetensors_find(s, "__metadata__") == NULL);
    promise("names come in order", strcmp(safetensors_at(s, 0)->name, "a") == 0 &&
                                       strcmp(safetensors_at(s, 3)->name, "scalar") == 0);
    promise("the file's bytes are there for a hash", safetensors_file(s, 0, &name, &n) &&
                                                         strcmp(name, "model.safetensors") == 0 &&
                                                         safetensors_file(s, 1, &name, &n) == NULL);
    safetensors_close(s);
}

static void
test_lies(void)
{
    one_bad("a file cut short names the tensor", "{" A "," B "}", 33,
            "\"b\" ends after the end of the file");
    one_bad("overlap names the tensor",
            "{" A ",\"c\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[20,24]}}", 24,
            "\"c\" overlaps");
    one_bad("a size that is not shape x dtype",
            "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,23]}}", 24, "\"a\"");
    one_bad(
        "a product that overflows",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4],\"data_offsets\":[0,0]}}",
        24, "\"a\" has a shape");
    one_bad("a size whose bytes overflow",
            "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}",
            24, "\"a\"");
    one_bad("a negative size", "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,0]}}",
            24, "\"a\" has a shape");
    one_bad("offsets that run backwards",
            "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,4]}}", 24,
            "\"a\" has no sound");
    one_bad("an unknown dtype", "{\"a\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,4]}}",
            24, "\"a\" has an unknown dtype");
    one_bad("no dtype", "{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 24,
            "\"a\" has an unknown dtype");
    one_bad("six dimensions",
            "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 24,
            "\"a\" has too many");
    one_bad("a name twice", "{" A "," A "}", 24, "duplicate object key");
    one_bad("an entry that is no object", "{\"a\":5}", 24, "\"a\"");
    one_bad("a header that is an array", "[1]", 24, "not a JSON object");
    one_bad("no tensor at all", "{}", 0, "hold no tensor");
    put_weights("model.safetensors", "{" A "}", 0, 100);
    refused("a header longer than the file", "header of sound length");
    put("model.safetensors", "\1\2\3", 3);
    refused("a file of three bytes", "header of sound length");
    put("model.safetensors", "\377\377\377\377\377\377\377\377{}", 10);
    refused("a header length of 2^64 - 1", "header of sound length");
    put("model.safetensors", "", 0);
    refused("an empty file", "cannot be opened");
}

static void
put_text(const char *name, const char *text)
{
    put(name, text, strlen(text));
}

static void
test_several(void)
{
    static const char index[] = "model.safetensors.index.json";
    SafeTensors *s;
    DsError err;

    put_weights("model.safetensors", "{" A "}", 24, 0);
    put_weights("more.safetensors",
                "{\"z\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,2]}}", 2, 0);
    promise("several files without an index are one model",
            safetensors_open(folder, &s, &err) == DS_OK && safetensors_count(s) == 2 &&
                safetensors_find(s, "z")->file == 1);
    safetensors_close(s);
    put_text(index, "{\"metadata\":{\"total_size\":5},\"weight_map\":{\"a\":\"model.safetensors\","
                    "\"z\":\"more.safetensors\"}}");
    promise("an index names the files; its total_size is not looked at",
            safetensors_open(folder, &s, &err) == DS_OK);
    safetensors_close(s);
    put_text(index, "{\"weight_map\":{\"a\":\"model.safetensors\",\"z\":\"model.safetensors\"}}");
    refused("an index that names the wrong file", "\"z\" is in the index and not in this file");
    put_text(index, "{\"weight_map\":{\"a\":\"model.safetensors\"}}");
    promise("a file that the index leaves out is left out",
            safetensors_open(folder, &s, &err) == DS_OK && safetensors_count(s) == 1);
    safetensors_close(s);
    put_text(index, "{\"weight_map\":{\"a\":\"model.safetensors\",\"q\":\"more.safetensors\"}}");
    refused("a tensor only in the index", "\"q\" is in the index");
    put_text(index, "{\"weight_map\":{\"a\":\"../model.safetensors\"}}");
    refused("an index may not lead out of the directory",
            "names the file \"../model.safetensors\"");
    put_text(index, "{\"weight_map\":{\"a\":\"absent.safetensors\"}}");
    refused("a file that is not there is named", "\"absent.safetensors\" cannot be opened");
    put_text(index, "{\"weight_map\":");
    refused("a broken index", "has no weight_map");
    put(index, NULL, 0);
    put_weights("more.safetensors", "{" A "}", 24, 0);
    refused("a tensor in two files", "\"a\" is in another file too");
    put("more.safetensors", NULL, 0);
    put("model.safetensors", NULL, 0);
    refused("a directory without weights", "holds no *.safetensors");
    strcat(folder, "/absent");
    refused("no directory", "cannot be opened");
}

int
main(void)
{
    const char *build = getenv("DSOCR_BUILD");

    snprintf(folder, sizeof folder, "%s/test/weights", build ? build : "build");
    mkdir(folder, 0777);
    test_sound();
    test_lies();
    test_several();
    return report();
}
