/* corpus.h - files for tests, and the inputs of a fuzz target replayed without a fuzzer. */
#ifndef DS_CORPUS_H
#define DS_CORPUS_H

#include <dirent.h>
#include <stdint.h>

#include "check.h"

/* All of a stream, NUL-terminated, malloc'd; NULL without one. */
__attribute__((unused)) static char *
slurp(FILE *f, size_t *n)
{
    size_t room = 1 << 16;
    char *text = malloc(room);

    *n = 0;
    if (f == NULL)
    {
        free(text);
        return NULL;
    }
    for (size_t got; (got = fread(text + *n, 1, room - *n - 1, f)) > 0;)
        if ((*n += got) + 1 == room)
            text = realloc(text, room *= 2);
    text[*n] = '\0';
    return text;
}

__attribute__((unused)) static char *
read_file(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    char *text = slurp(f, n);

    if (f)
        fclose(f);
    return text;
}

__attribute__((unused)) static char *
unzipped(const char *path, size_t *n)
{
    char command[700];
    FILE *f;
    char *text;

    snprintf(command, sizeof command, "gzip -dc '%s'", path);
    f = popen(command, "r");
    text = slurp(f, n);
    if (f)
        pclose(f);
    return text;
}

/* Gives every file of a folder to the target; the count, so that an empty folder is a failed promise. */
__attribute__((unused)) static int
replay(const char *folder, int (*target)(const uint8_t *, size_t))
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    int count = 0;

    while (dir && (entry = readdir(dir)) != NULL)
    {
        char path[512];
        size_t n;
        char *text;

        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] == '.' || (text = read_file(path, &n)) == NULL)
            continue;
        target((const uint8_t *)text, n);
        free(text);
        count++;
    }
    if (dir)
        closedir(dir);
    return count;
}

#endif
