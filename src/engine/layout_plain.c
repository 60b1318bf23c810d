/* layout_plain.c - what a block says when its marks are taken away; part of stage 6.
 *
 * Only the tags and entities that the models write are known; any other '<' or '&' is text. */
#include "layout_parts.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "utf8.h"

typedef struct Plain
{
    const char *s, *end; /* what is still to read */
    char *out;
    size_t n;
    int rows, cells; /* of the table at hand: begun so far */
    bool in_table, in_cell;
    bool drop_stars; /* this line has bold signs in pairs */
    bool line_start; /* of the input */
} Plain;

static void
put(Plain *p, char c)
{
    p->out[p->n++] = c;
}

/* Tabs stay: a row may end in empty cells. */
static void
drop_trailing_spaces(Plain *p)
{
    while (p->n > 0 && p->out[p->n - 1] == ' ')
        p->n--;
}

static void
new_line(Plain *p)
{
    if (p->n > 0 && p->out[p->n - 1] != '\n')
        put(p, '\n');
}

/* --- tags --- */

static void
open_table(Plain *p)
{
    new_line(p);
    p->in_table = true;
    p->in_cell = false;
    p->rows = p->cells = 0;
}

static void
open_row(Plain *p)
{
    if (p->rows++ > 0)
        put(p, '\n');
    p->cells = 0;
    p->in_cell = false;
}

static void
open_cell(Plain *p)
{
    if (p->cells++ > 0)
        put(p, '\t');
    p->in_cell = true;
}

static void
close_cell(Plain *p)
{
    drop_trailing_spaces(p);
    p->in_cell = false;
}

static void
close_table(Plain *p)
{
    p->in_table = p->in_cell = false;
}

static void
break_line(Plain *p)
{
    if (p->in_cell)
        put(p, ' ');
    else
        put(p, '\n');
}

static void
begin_block(Plain *p)
{
    if (!p->in_cell)
        new_line(p);
}

static void
nothing(Plain *p)
{
    (void)p;
}

static const struct
{
    const char *name;
    void (*open)(Plain *);
    void (*close)(Plain *);
} tags[] = {
    {"table", open_table, close_table},
    {"tr", open_row, nothing},
    {"td", open_cell, close_cell},
    {"th", open_cell, close_cell},
    {"br", break_line, nothing},
    {"p", begin_block, nothing},
    {"div", begin_block, nothing},
    {"li", begin_block, nothing},
    {"center", nothing, nothing},
    {"thead", nothing, nothing},
    {"tbody", nothing, nothing},
    {"tfoot", nothing, nothing},
    {"caption", nothing, begin_block},
    {"colgroup", nothing, nothing},
    {"col", nothing, nothing},
    {"ul", nothing, nothing},
    {"ol", nothing, nothing},
    {"b", nothing, nothing},
    {"i", nothing, nothing},
    {"u", nothing, nothing},
    {"s", nothing, nothing},
    {"em", nothing, nothing},
    {"strong", nothing, nothing},
    {"sup", nothing, nothing},
    {"sub", nothing, nothing},
    {"span", nothing, nothing},
};

/* Where the tag at s ends, if what stands between its name and '>' can belong to a tag: "a <b and c> d" is none. */
static const char *
tag_close(const char *s, const char *after_name, const char *end)
{
    size_t left = (size_t)(end - s);
    const char *close = memchr(s, '>', left < 300 ? left : 300);

    if (close == NULL || close == after_name)
        return close;
    if ((*after_name == ' ' && memchr(after_name, '=', (size_t)(close - after_name))) ||
        close[-1] == '/')
        return close;
    return NULL;
}

/* A known tag at p->s is acted on and passed; false: no tag. */
static bool
take_tag(Plain *p)
{
    bool closing = p->s + 1 < p->end && p->s[1] == '/';
    const char *name = p->s + 1 + closing, *after = name;
    const char *close;

    while (after < p->end && ((*after | 32) >= 'a' && (*after | 32) <= 'z'))
        after++;
    if (after == name || (close = tag_close(p->s, after, p->end)) == NULL)
        return false;
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (strlen(tags[i].name) == (size_t)(after - name) &&
            strncasecmp(tags[i].name, name, (size_t)(after - name)) == 0)
        {
            (closing ? tags[i].close : tags[i].open)(p);
            p->s = close + 1;
            return true;
        }
    return false;
}

/* --- entities --- */

static const struct
{
    const char *name;
    uint32_t cp;
} entities[] = {
    {"amp", '&'},       {"lt", '<'},       {"gt", '>'},       {"quot", '"'},     {"apos", '\''},
    {"nbsp", ' '},      {"deg", 0xB0},     {"plusmn", 0xB1},  {"micro", 0xB5},   {"middot", 0xB7},
    {"frac12", 0xBD},   {"times", 0xD7},   {"divide", 0xF7},  {"copy", 0xA9},    {"reg", 0xAE},
    {"sect", 0xA7},     {"para", 0xB6},    {"pound", 0xA3},   {"euro", 0x20AC},  {"yen", 0xA5},
    {"cent", 0xA2},     {"laquo", 0xAB},   {"raquo", 0xBB},   {"ndash", 0x2013}, {"mdash", 0x2014},
    {"lsquo", 0x2018},  {"rsquo", 0x2019}, {"ldquo", 0x201C}, {"rdquo", 0x201D}, {"bull", 0x2022},
    {"hellip", 0x2026}, {"minus", 0x2212}, {"le", 0x2264},    {"ge", 0x2265},    {"ne", 0x2260},
    {"rarr", 0x2192},   {"larr", 0x2190},  {"trade", 0x2122},
};

/* "#123" or "#x1F" -> the code point, 0 when it is none. */
static uint32_t
numeric_entity(const char *name, size_t n)
{
    char digits[12] = "";
    char *rest;
    long cp;
    bool hex = n > 1 && (name[1] | 32) == 'x';

    if (n < 2 || n - 1 >= sizeof digits || !((name[1] >= '0' && name[1] <= '9') || hex))
        return 0;
    memcpy(digits, name + 1 + hex, n - 1 - hex);
    if (digits[0] == '-' || digits[0] == '+' || digits[0] == ' ')
        return 0;
    cp = strtol(digits, &rest, hex ? 16 : 10);
    return *rest || rest == digits || cp < 32 || cp > 0x10FFFF ? 0 : (uint32_t)cp;
}

static uint32_t
entity(const char *name, size_t n)
{
    if (n > 0 && name[0] == '#')
        return numeric_entity(name, n);
    for (size_t i = 0; i < sizeof entities / sizeof *entities; i++)
        if (strlen(entities[i].name) == n && memcmp(entities[i].name, name, n) == 0)
            return entities[i].cp;
    return 0;
}

/* An entity at p->s becomes its character; false: none. */
static bool
take_entity(Plain *p)
{
    size_t left = (size_t)(p->end - p->s);
    const char *end = memchr(p->s, ';', left < 12 ? left : 12);
    uint32_t cp = end ? entity(p->s + 1, (size_t)(end - p->s - 1)) : 0;

    if (cp == 0)
        return false;
    p->n += utf8_put(p->out + p->n, cp);
    p->s = end + 1;
    return true;
}

/* --- Markdown --- */

static bool
stars_in_pairs(const char *s, const char *end)
{
    int pairs = 0;

    for (; s + 1 < end && *s != '\n'; s++)
        if (s[0] == '*' && s[1] == '*')
            pairs++, s++;
    return pairs > 0 && pairs % 2 == 0;
}

/* One to six '#' and a space. */
static void
skip_heading(Plain *p)
{
    const char *s = p->s;

    while (s < p->end && *s == '#' && s - p->s < 6)
        s++;
    if (s > p->s && s < p->end && *s == ' ')
        p->s = s + 1;
}

static void
begin_line(Plain *p)
{
    p->line_start = false;
    if (p->in_table)
        return;
    p->drop_stars = stars_in_pairs(p->s, p->end);
    skip_heading(p);
}

static void
take_character(Plain *p)
{
    char c = *p->s++;

    if (c == '\n')
        p->line_start = true;
    if (p->in_table && strchr(" \t\r\n", c))
    {
        /* between cells: nothing; inside: one space, none at its start */
        if (p->in_cell && p->n > 0 && !strchr(" \t\n", p->out[p->n - 1]))
            put(p, ' ');
        return;
    }
    if (c == '\n')
        drop_trailing_spaces(p);
    put(p, c);
}

/* Without empty space at both ends; a tab there parts empty cells. */
static char *
trimmed(Plain *p)
{
    size_t begin = 0;

    while (p->n > 0 && strchr(" \r\n", p->out[p->n - 1]))
        p->n--;
    while (begin < p->n && strchr(" \r\n", p->out[begin]))
        begin++;
    p->out[p->n] = '\0';
    return p->out + begin;
}

char *
layout_plain(Arena *arena, const char *content, size_t n)
{
    Plain p = {.s = content, .end = content + n, .line_start = true};

    if ((p.out = arena_alloc(arena, n + 1)) == NULL)
        return NULL;
    while (p.s < p.end)
    {
        if (p.line_start)
            begin_line(&p);
        if (p.s == p.end)
            break;
        if ((*p.s == '<' && take_tag(&p)) || (*p.s == '&' && take_entity(&p)))
            continue;
        if (p.drop_stars && !p.in_table && p.end - p.s > 1 && p.s[0] == '*' && p.s[1] == '*')
            p.s += 2;
        else
            take_character(&p);
    }
    return trimmed(&p);
}
