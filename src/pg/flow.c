/* flow.c - the text of a page as it is searched: lines joined, divided words made whole, markup gone.
 *
 * A hyphen at a line's end is either the printer's, and goes, or the word's own, and stays. It stays before a digit
 * or a capital (1914-1918, E-Mail-Adresse), before a word like "and" (Vor- und Nachteile), after a single letter
 * (x-ray), and when the page has the same word with its hyphen inside a line. Sharp edge: dsocr_search_text and
 * dsocr_highlight must see the same text, or hits are shown elsewhere than they are found; both get it here. */
#include "compat.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "answer.h"
#include "flow.h"
#include "letters.h"

PG_FUNCTION_INFO_V1(dsocr_search_text);

/* ---- lines ---- */

/* A line's text without white space at its ends. */
typedef struct Trimmed
{
    const char *s;
    int from, n;
} Trimmed;

static Trimmed
trimmed(const char *s, int n)
{
    Trimmed t = {s, 0, n};
    int length;

    while (t.n > 0 && is_space(letter_at(t.s, t.n, &length)))
    {
        t.s += length;
        t.from += length;
        t.n -= length;
    }
    while (t.n > 0 && is_space(letter_before(t.s, t.n, &length)))
        t.n -= length;
    return t;
}

/* ---- divided words ---- */

typedef enum Joint
{
    JOINT_NONE, /* two words */
    JOINT_KEPT, /* one word, with its hyphen */
    JOINT_WHOLE /* one word, the hyphen is the printer's */
} Joint;

/* What stands at the end of a line and the beginning of the next. */
typedef struct Division
{
    const char *left, *right; /* the parts of the word */
    int nleft, nright;
    int hyphen; /* bytes of the sign */
    uint32 sign, last, first, second;
} Division;

static int
letters_after(const char *s, int n, uint32 first_two[2])
{
    int at = 0, length;

    for (int i = 0; at < n; at += length, i++)
    {
        uint32 c = letter_at(s + at, n - at, &length);

        if (i < 2)
            first_two[i] = c;
        if (!is_letter(c))
            break;
    }
    return at;
}

static int
letters_before(const char *s, int n)
{
    int at = n, length;

    while (at > 0 && is_letter(letter_before(s, at, &length)))
        at -= length;
    return n - at;
}

/* text: the flow so far; next: the line that follows. False: it does not end in a hyphen. */
static bool
divided(const StringInfoData *text, const Trimmed *next, Division *d)
{
    uint32 two[2] = {0};
    int before, length;

    if (text->len == 0 || next->n == 0)
        return false;
    d->sign = letter_before(text->data, text->len, &d->hyphen);
    before = text->len - d->hyphen;
    if (!is_hyphen(d->sign) || before == 0)
        return false;
    d->last = letter_before(text->data, before, &length);
    d->nleft = letters_before(text->data, before);
    d->left = text->data + before - d->nleft;
    d->right = next->s;
    d->nright = letters_after(next->s, next->n, two);
    d->first = two[0];
    d->second = two[1];
    return true;
}

/* Vor- und Nachteile, pre- and post-war: the second half is left out, not on the next line. */
static bool
is_conjunction(const char *s, int n)
{
    static const char *const words[] = {"und", "oder",  "bzw", "sowie", "and", "or",
                                        "och", "eller", "y",   "o",     "e",   "u"};

    for (int i = 0; i < lengthof(words); i++)
        if ((int)strlen(words[i]) == n && memcmp(words[i], s, n) == 0)
            return true;
    return false;
}

/* Somewhere on the page the word stands with its hyphen, inside a line. */
static bool
seen_with_hyphen(const ReadPage *page, const Division *d)
{
    char *word = psprintf("%.*s-%.*s", d->nleft, d->left, d->nright, d->right);
    bool seen = false;

    for (int i = 0; i < page->nelements && !seen; i++)
        seen = strstr(page->elements[i].text, word) != NULL;
    pfree(word);
    return seen;
}

static bool
all_capitals(const Division *d)
{
    int length;

    return is_upper(d->last) && is_upper(d->first) && is_upper(d->second) && d->nleft > 1 &&
           is_upper(letter_at(d->left, d->nleft, &length));
}

static Joint
joint_of(const ReadPage *page, const Division *d)
{
    if (!is_letter(d->last))
        return d->sign == '-' && is_digit(d->last) && is_digit(d->first) ? JOINT_KEPT : JOINT_NONE;
    if (d->nright == 0)
        return d->sign == '-' && is_digit(d->first) ? JOINT_KEPT : JOINT_NONE;
    if (d->sign != '-' && d->sign != 0x2010)
        return is_upper(d->first) && d->sign == '=' ? JOINT_NONE : JOINT_WHOLE;
    if (is_conjunction(d->right, d->nright))
        return JOINT_NONE;
    if (all_capitals(d))
        return JOINT_WHOLE;
    if (is_upper(d->first) || d->nleft <= pg_mblen(d->left) || seen_with_hyphen(page, d))
        return JOINT_KEPT;
    return JOINT_WHOLE;
}

/* ---- the flow ---- */

static void
add_span(Flow *f, const ReadElement *e, const ReadLine *line, const char *whole, const Trimmed *t)
{
    if (f->nspans == f->room)
    {
        f->room = f->room ? f->room * 2 : 64;
        f->spans = f->spans ? repalloc(f->spans, sizeof(FlowSpan) * f->room)
                            : palloc(sizeof(FlowSpan) * f->room);
    }
    f->spans[f->nspans++] = (FlowSpan){f->text.len, t->n, t->from, e, line, whole};
    appendBinaryStringInfo(&f->text, t->s, t->n);
}

/* Where one line ends and another begins. */
static void
put_joint(Flow *f, const ReadPage *page, const ReadElement *e, const Trimmed *next,
          bool new_element)
{
    bool flowing =
        strcmp(e->type, "table") && strcmp(e->type, "code") && strcmp(e->type, "formula");
    Division d;
    Joint joint = flowing && divided(&f->text, next, &d) ? joint_of(page, &d) : JOINT_NONE;

    /* From a column to the next only small letters are sure to go on. */
    if (new_element && (joint != JOINT_WHOLE || is_upper(d.first)))
        joint = JOINT_NONE;
    if (joint == JOINT_WHOLE)
    {
        f->text.len -= d.hyphen;
        f->text.data[f->text.len] = '\0';
        f->spans[f->nspans - 1].n -= d.hyphen;
    }
    else if (joint == JOINT_NONE && f->text.len > 0)
        appendStringInfoString(&f->text, new_element ? "\n\n" : "\n");
}

static void
add_line(Flow *f, const ReadPage *page, const ReadElement *e, const ReadLine *line,
         const char *whole, const char *s, int n, bool *begun)
{
    Trimmed t = trimmed(s, n);

    t.from += (int)(s - whole);
    if (t.n == 0)
        return;
    put_joint(f, page, e, &t, !*begun);
    *begun = true;
    add_span(f, e, line, whole, &t);
}

static void
add_element(Flow *f, const ReadPage *page, const ReadElement *e)
{
    bool begun = false;

    for (int i = 0; i < e->nlines; i++)
        add_line(f, page, e, &e->lines[i], e->lines[i].text, e->lines[i].text,
                 strlen(e->lines[i].text), &begun);
    if (e->nlines > 0)
        return;
    for (const char *s = e->text, *end; *s; s = *end ? end + 1 : end)
    {
        end = s + strcspn(s, "\n");
        add_line(f, page, e, NULL, e->text, s, end - s, &begun);
    }
}

Flow *
flow_of(const ReadPage *page)
{
    Flow *f = palloc0(sizeof *f);

    initStringInfo(&f->text);
    for (int i = 0; i < page->nelements; i++)
        add_element(f, page, &page->elements[i]);
    return f;
}

int
flow_find(const Flow *f, int at)
{
    int low = 0, high = f->nspans;

    while (low < high)
    {
        int middle = (low + high) / 2;

        if (f->spans[middle].at + f->spans[middle].n <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void
flow_append_text(StringInfo to, const ReadPage *page)
{
    Flow *f = flow_of(page);
    const char *s = page->nelements > 0 || page->text == NULL ? f->text.data : page->text;

    if (to->len > 0 && *s)
        appendStringInfoString(to, "\n\n");
    appendStringInfoString(to, s);
}

/* ---- SQL ---- */

/* dsocr_search_text(result jsonb, page int): NULL for a page that the result does not have. */
Datum
dsocr_search_text(PG_FUNCTION_ARGS)
{
    const Reading *r = READING_ARGUMENT(0);
    StringInfoData s;

    if (r == NULL)
        PG_RETURN_NULL();
    initStringInfo(&s);
    if (!PG_ARGISNULL(1))
    {
        const ReadPage *page = reading_page(r, PG_GETARG_INT32(1));

        if (page == NULL)
            PG_RETURN_NULL();
        flow_append_text(&s, page);
    }
    else
        for (int i = 0; i < r->npages; i++)
            flow_append_text(&s, &r->pages[i]);
    PG_RETURN_TEXT_P(cstring_to_text_with_len(s.data, s.len));
}
