/* near.c - the part of a text that holds all words a query finds in it, so that the rest need not be parsed.
 *
 * Parsing a page takes far longer than finding it. Where a query's words stand is guessed by their first letters; that
 * no other was missed is known from the page's tsvector, which says how often each word stands there. A guess that
 * fails costs time, nothing else: then all is parsed. Sharp edge: the parser is the same after every white space, but
 * for what stands between < and >. */
#include "compat.h"

#include <ctype.h>

#include "tsearch/ts_utils.h"

#include "near.h"

#define SAME_MOST 6 /* bytes that are compared: endings change */

/* ---- the guess ---- */

static bool
in_word(char c)
{
    return isalnum((unsigned char)c) || (c & 0x80);
}

static bool
is_white(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Letters of ASCII are the same in both cases; of others the first is taken for any. */
static bool
begins_alike(const char *word, const char *text, int n)
{
    for (int i = 0; i < n; i++)
        if (tolower((unsigned char)word[i]) != tolower((unsigned char)text[i]) &&
            !(i < 2 && (word[0] & text[i] & 0x80)))
            return false;
    return true;
}

/* Whether a word that begins at text [n] may be the operand's. */
static bool
may_be(TSQuery query, const QueryItem *item, const char *text, int n)
{
    const char *word = GETOPERAND(query) + item->qoperand.distance;
    int length = item->qoperand.length;

    for (; length > 1 && !in_word(*word); length--)
        word++;
    length = Max(1, Min(length - 1, SAME_MOST));
    return length <= n && begins_alike(word, text, length);
}

static bool
may_be_any(TSQuery query, const char *text, int n)
{
    const QueryItem *item = GETQUERY(query);

    for (int i = 0; i < query->size; i++)
        if (item[i].type == QI_VAL && may_be(query, &item[i], text, n))
            return true;
    return false;
}

/* The byte `words` words before at, behind a white space. */
static int
back(const char *text, int at, int words)
{
    bool word = false;

    for (; at > 0; at--)
    {
        bool white = is_white(text[at - 1]);

        if (white && word && --words < 0)
            return at;
        word = white ? false : word || in_word(text[at - 1]);
    }
    return 0;
}

static int
forth(const char *text, int at, int n, int words)
{
    bool word = false;

    for (; at < n; at++)
    {
        bool white = is_white(text[at]);

        if (white && word && --words < 0)
            return at;
        word = white ? false : word || in_word(text[at]);
    }
    return n;
}

Part
near_hits(const char *text, int n, TSQuery query, int words)
{
    int first = -1, last = 0;

    if (memchr(text, '<', n))
        return (Part){0, n};
    for (int i = 0; i < n; i++)
        if (in_word(text[i]) && (i == 0 || !in_word(text[i - 1])) &&
            may_be_any(query, text + i, n - i))
        {
            first = first < 0 ? i : first;
            last = i;
        }
    return (Part){first < 0 ? 0 : back(text, first, words / 2), forth(text, last, n, words)};
}

/* ---- its proof ---- */

static int
compare(TSVector tsv, const WordEntry *e, TSQuery query, const QueryOperand *o, bool prefix)
{
    return tsCompareString(GETOPERAND(query) + o->distance, o->length, STRPTR(tsv) + e->pos, e->len,
                           prefix);
}

/* How often an operand's words stand in the text. -1: tsv does not say. */
static int
count_in(TSVector tsv, TSQuery query, const QueryOperand *o)
{
    const WordEntry *entries = ARRPTR(tsv);
    int low = 0, high = tsv->size, sum = 0;

    while (low < high)
    {
        int middle = (low + high) / 2;

        if (compare(tsv, &entries[middle], query, o, false) > 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < tsv->size && compare(tsv, &entries[low], query, o, o->prefix) == 0; low++)
    {
        int n = POSDATALEN(tsv, &entries[low]);

        if (n == 0 || n >= MAXNUMPOS - 1 ||
            WEP_GETPOS(POSDATAPTR(tsv, &entries[low])[n - 1]) >= MAXENTRYPOS - 1)
            return -1;
        sum += n;
    }
    return sum;
}

static int
count_parsed(const HeadlineParsedText *parsed, const QueryOperand *o)
{
    int n = 0;

    for (int i = 0; i < parsed->curwords; i++)
        n += parsed->words[i].item == o;
    return n;
}

/* The default parser's kinds that a headline does not count: a url, compounds and space. Whatever another parser calls
 * so is not counted here either. */
static bool
counts(const HeadlineWordEntry *w)
{
    return !w->repeated && w->type != 5 && (w->type < 12 || w->type > 17);
}

/* Words before the first hit, or behind the last. */
static int
words_beside(const HeadlineParsedText *parsed, bool before)
{
    int n = 0;

    for (int i = 0; i < parsed->curwords; i++)
    {
        const HeadlineWordEntry *w = &parsed->words[before ? i : parsed->curwords - 1 - i];

        if (w->item)
            break;
        n += counts(w);
    }
    return n;
}

bool
near_is_all(Part part, int n, TSVector tsv, TSQuery query, const HeadlineParsedText *parsed,
            int words)
{
    const QueryItem *item = GETQUERY(query);

    for (int i = 0; i < query->size; i++)
        if (item[i].type == QI_VAL &&
            count_in(tsv, query, &item[i].qoperand) != count_parsed(parsed, &item[i].qoperand))
            return false;
    return (part.from == 0 || words_beside(parsed, true) >= words / 2) &&
           (part.to == n || words_beside(parsed, false) >= words);
}
