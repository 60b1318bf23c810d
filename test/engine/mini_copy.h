/* mini_copy.h - the shipped dsocr-mini in a folder of a test's own, with another config. */
#ifndef TEST_MINI_COPY_H
#define TEST_MINI_COPY_H

#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

static inline void
mini_copy(const char *name, char *dir, size_t size)
{
    static const char *const files[] = {"model.safetensors", "tokenizer.json"};
    const char *build = getenv("DSOCR_BUILD");
    char from[4096], to[400];

    snprintf(dir, size, "%s/test/%s", build ? build : "build", name);
    mkdir(dir, 0777);
    for (int i = 0; i < 2; i++)
    {
        snprintf(to, sizeof to, "model/mini/%s", files[i]);
        if (realpath(to, from) == NULL)
            exit(promise("the mini is there", false));
        snprintf(to, sizeof to, "%.300s/%s", dir, files[i]);
        unlink(to);
        if (symlink(from, to))
            exit(promise("a link is made", false));
    }
}

/* The shipped config with these values of dsocr's keys, which it takes; null: without that key. */
static inline void
mini_configs(const char *dir, json_t *values)
{
    json_t *config = json_load_file("model/mini/config.json", 0, NULL),
           *own = json_object_get(config, "dsocr"), *value;
    const char *key;
    char path[400];

    json_object_update(own, values);
    json_object_foreach(values, key, value) if (json_is_null(value)) json_object_del(own, key);
    snprintf(path, sizeof path, "%.300s/config.json", dir);
    json_dump_file(config, path, 0);
    json_decref(values);
    json_decref(config);
}

/* One of them; NULL: without it. */
static inline void
mini_config(const char *dir, const char *key, json_t *value)
{
    mini_configs(dir, json_pack("{s:o}", key, value ? value : json_null()));
}

#endif
