/* layout.c - stage 6 of 7: token ids -> blocks: text, kind, box in page pixels. What both makers share.
 *
 * layout_markup.c reads a page reader's grounded markdown, layout_lines.c joins a line reader's lines. The
 * promise both keep: page.text[char_start:char_end], counted in characters, is the element's text. */
#include "layout_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

#define BETWEEN "\n\n"

DsStatus
layout_no_room(DsError *err)
{
    return ds_fail(err, DS_LIMIT, "the page's text needs more memory than a page may take");
}

void
layout_trim(const char **s, size_t *n)
{
    static const char spaces[] = " \t\r\n\f\v";

    while (*n > 0 && strchr(spaces, **s))
        ++*s, --*n;
    while (*n > 0 && strchr(spaces, (*s)[*n - 1]))
        --*n;
}

/* A probability of nought, or what is no number, must not make the whole page nought. */
void
mean_add(Mean *m, float probability)
{
    m->logs += log(probability > 1e-6f ? (probability < 1 ? probability : 1) : 1e-6);
    m->n++;
}

void
mean_add_all(Mean *m, const float *probabilities, int n)
{
    for (int i = 0; i < n; i++)
        mean_add(m, probabilities[i]);
}

float
mean_value(const Mean *m)
{
    return m->n ? (float)exp(m->logs / m->n) : -1;
}

static int
ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

DsStatus
layout_confidence(const float *probabilities, int n, Arena *arena, PageReading *page, DsError *err)
{
    Mean mean = {0};
    float *sorted;

    page->confidence = page->confidence_low = -1;
    if (n == 0)
        return DS_OK;
    if ((sorted = arena_array(arena, (size_t)n, sizeof *sorted)) == NULL)
        return layout_no_room(err);
    mean_add_all(&mean, probabilities, n);
    memcpy(sorted, probabilities, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, ascending);
    page->confidence = mean_value(&mean);
    page->confidence_low = sorted[(n + 19) / 20 - 1]; /* nearest rank */
    return DS_OK;
}

/* A text that grows towards a size known beforehand. */
typedef struct Joined
{
    char *text;
    size_t n;
} Joined;

static void
join(Joined *j, const char *more)
{
    size_t n = strlen(more);

    if (n == 0)
        return;
    if (j->n)
    {
        memcpy(j->text + j->n, BETWEEN, strlen(BETWEEN));
        j->n += strlen(BETWEEN);
    }
    memcpy(j->text + j->n, more, n + 1);
    j->n += n;
}

DsStatus
layout_join(PageReading *page, Arena *arena, DsError *err)
{
    size_t texts = 1, contents = 1;
    Joined text, markdown;
    size_t characters = 0;

    for (int i = 0; i < page->nelements; i++)
    {
        texts += strlen(page->elements[i].text) + strlen(BETWEEN);
        contents += strlen(page->elements[i].content) + strlen(BETWEEN);
    }
    text = (Joined){arena_zalloc(arena, texts), 0};
    markdown = (Joined){arena_zalloc(arena, contents), 0};
    if (text.text == NULL || markdown.text == NULL)
        return layout_no_room(err);
    for (int i = 0; i < page->nelements; i++)
    {
        Element *e = &page->elements[i];
        size_t n = utf8_count(e->text, strlen(e->text));

        join(&text, e->text);
        join(&markdown, e->content);
        if (n)
            characters += n + (characters ? utf8_count(BETWEEN, strlen(BETWEEN)) : 0);
        e->char_end = (int)characters;
        e->char_start = (int)(characters - n);
    }
    page->text = text.text;
    page->markdown = markdown.text;
    return DS_OK;
}

bool
layout_is_blank(const PageReading *page)
{
    for (int i = 0; i < page->nelements; i++)
        if (strcmp(page->elements[i].type, "figure") == 0)
            return false;
    return page->text[0] == '\0';
}
