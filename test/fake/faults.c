/* faults.c - reads the words of faults.h. */
#include "faults.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Word
{
    const char *name;
    size_t at, size; /* in Faults; size 1: a flag, 4: a number, else text */
} Word;

#define FLAG(name, field)                                                                          \
    {                                                                                              \
        name, offsetof(Faults, field), sizeof(((Faults *)0)->field)                                \
    }

static const Word words[] = {
    FLAG("slow", slow),           FLAG("status", status), FLAG("version", version),
    FLAG("pages", pages),         FLAG("big", big),       FLAG("bad_page", bad_page),
    FLAG("silent", silent),       FLAG("hang", hang),     FLAG("stuck", stuck),
    FLAG("kill", kill),           FLAG("segv", segv),     FLAG("garbage", garbage),
    FLAG("oversize", oversize),   FLAG("short", short_),  FLAG("not_json", not_json),
    FLAG("bad_utf8", bad_utf8),   FLAG("nul", nul),       FLAG("once", once),
    FLAG("exit", exit),           FLAG("refuse", refuse), FLAG("error", error),
    FLAG("state", state),         FLAG("count", count),   FLAG("page_slow", page_slow),
    FLAG("exit_page", exit_page), FLAG("hold", hold),     FLAG("attempts", attempts),
};

static void
add_word(Faults *f, const char *name, const char *value)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
    {
        char *field = (char *)f + words[i].at;

        if (strcmp(words[i].name, name) != 0)
            continue;
        if (words[i].size == sizeof(bool))
            *(bool *)field = true;
        else if (words[i].size == sizeof(int))
            *(int *)field = atoi(value);
        else
            snprintf(field, words[i].size, "%s", value);
        return;
    }
    fprintf(stderr, "dsocr-fake: no fault is called \"%s\"\n", name);
    exit(2);
}

void
faults_add(Faults *f, const char *text, size_t n)
{
    char *copy = strndup(text, n), *save = NULL;

    for (char *w = strtok_r(copy, ", \t\r\n", &save); w; w = strtok_r(NULL, ", \t\r\n", &save))
    {
        char *value = strchr(w, '=');

        if (value)
            *value++ = '\0';
        add_word(f, w, value ? value : "");
    }
    free(copy);
}

void
faults_add_file(Faults *f, const char *path)
{
    char text[1024];
    FILE *file = fopen(path, "r");
    size_t n;

    if (file == NULL)
        return;
    n = fread(text, 1, sizeof text, file);
    fclose(file);
    faults_add(f, text, n);
}

void
faults_add_body(Faults *f, const char *body, size_t n)
{
    const char *mark = memmem(body, n, "FAKE:", 5);
    size_t length = 0, left;

    if (mark == NULL)
        return;
    mark += 5;
    left = (size_t)(body + n - mark);
    while (length < left && mark[length] != ';' && mark[length] != '\n' && mark[length] != '\0')
        length++;
    faults_add(f, mark, length);
}
