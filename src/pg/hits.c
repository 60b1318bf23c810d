/* hits.c - where a query's words stand on a page: full-text search, led back to lines and boxes.
 *
 * The page's flow (flow.c) is parsed as ts_headline does it, so a word is a hit here exactly when to_tsvector with the
 * same configuration finds it. A phrase counts only as a whole; words under NOT never. Whether the query as a whole
 * matches is not asked: the words that led to a page are shown. Sharp edge: of a compound the parser gives the whole
 * and then its parts, which stand on the same bytes. */
#include "compat.h"

#include <ctype.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/value.h"
#include "tsearch/ts_cache.h"
#include "tsearch/ts_public.h"
#include "tsearch/ts_utils.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "flow.h"
#include "hits.h"
#include "near.h"
#include "place.h"

PG_FUNCTION_INFO_V1(dsocr_highlight);

/* A word of the flow that one of the query's operands matches. */
typedef struct Word
{
    int from, to; /* bytes */
    int pos;
    const QueryOperand *operand;
} Word;

/* A place where a part of the query matches. */
typedef struct Match
{
    int first, last; /* positions */
    int *words;      /* [n], in the order of the query */
    int n;
} Match;

typedef struct Matches
{
    Match *m; /* [n] */
    int n, room;
} Matches;

typedef struct Search
{
    const Flow *flow;
    Part part;   /* of its text, that was parsed */
    Word *words; /* [nwords] */
    int nwords;
    TSQuery query;
} Search;

/* ---- words ---- */

/* The default parser's kinds that are followed by their own parts. */
static bool
is_whole_of_parts(int type)
{
    return type == 5 /* url */ || (type >= 15 && type <= 17) /* compounds */;
}

static HeadlineParsedText
parse(TSQuery query, Oid config, char *text, int n)
{
    HeadlineParsedText parsed = {.lenwords = 32};

    parsed.words = palloc(sizeof(HeadlineWordEntry) * parsed.lenwords);
    hlparsetext(config, &parsed, query, text, n);
    return parsed;
}

/* Keeps what matches an operand. */
static void
find_words(Search *s, const HeadlineParsedText *parsed)
{
    const char *text = s->flow->text.data;
    int at = s->part.from, length = s->part.to, from = at;

    s->words = palloc(sizeof(Word) * (parsed->curwords + 1));
    for (int i = 0; i < parsed->curwords; i++)
    {
        const HeadlineWordEntry *w = &parsed->words[i];

        if (!w->repeated)
        {
            const char *found = memmem(text + at, length - at, w->word, w->len);

            from = found ? found - text : at;
            at = is_whole_of_parts(w->type) ? from : Min(length, from + w->len);
        }
        if (w->item)
            s->words[s->nwords++] = (Word){from, from + w->len, w->pos, w->item};
    }
}

/* ---- matches ---- */

static void
add_match(Matches *all, int first, int last, int *words, int n)
{
    if (all->n == all->room)
    {
        all->room = all->room ? all->room * 2 : 16;
        all->m = all->m ? repalloc(all->m, sizeof(Match) * all->room)
                        : palloc(sizeof(Match) * all->room);
    }
    all->m[all->n++] = (Match){first, last, words, n};
}

static void
add_both(Matches *all, const Match *a, const Match *b)
{
    int *words = palloc(sizeof(int) * (a->n + b->n));

    memcpy(words, a->words, sizeof(int) * a->n);
    memcpy(words + a->n, b->words, sizeof(int) * b->n);
    add_match(all, Min(a->first, b->first), Max(a->last, b->last), words, a->n + b->n);
}

static Matches
of_operand(const Search *s, const QueryOperand *operand)
{
    Matches all = {0};

    for (int i = 0; i < s->nwords; i++)
        if (s->words[i].operand == operand)
        {
            int *word = palloc(sizeof(int));

            *word = i;
            add_match(&all, s->words[i].pos, s->words[i].pos, word, 1);
        }
    return all;
}

static void
append(Matches *to, const Matches *from)
{
    for (int i = 0; i < from->n; i++)
        add_match(to, from->m[i].first, from->m[i].last, from->m[i].words, from->m[i].n);
}

static int
by_first(const void *a, const void *b)
{
    return ((const Match *)a)->first - ((const Match *)b)->first;
}

/* The first of the sorted matches that begins at this position or later. */
static int
find_first(const Matches *sorted, int position)
{
    int low = 0, high = sorted->n;

    while (low < high)
    {
        int middle = (low + high) / 2;

        if (sorted->m[middle].first < position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Pairs of which the right one begins `distance` behind the end of the left one. */
static Matches
in_sequence(const Matches *left, Matches *right, int distance)
{
    Matches all = {0};

    qsort(right->m, right->n, sizeof(Match), by_first);
    for (int i = 0; i < left->n; i++)
        for (int j = find_first(right, left->m[i].last + distance);
             j < right->n && right->m[j].first == left->m[i].last + distance; j++)
        {
            CHECK_FOR_INTERRUPTS();
            add_both(&all, &left->m[i], &right->m[j]);
        }
    return all;
}

/* Those of `these` that have none of `others` at the distance: others before them, or behind. */
static Matches
without(const Matches *these, const Matches *others, int distance, bool before)
{
    Matches all = {0};

    for (int i = 0; i < these->n; i++)
    {
        const Match *m = &these->m[i];
        bool beside = false;

        for (int j = 0; j < others->n && !beside; j++)
            beside = before ? others->m[j].last + distance == m->first
                            : m->last + distance == others->m[j].first;
        if (!beside)
            add_match(&all, m->first, m->last, m->words, m->n);
    }
    return all;
}

static bool
is_not(const QueryItem *item)
{
    return item->type == QI_OPR && item->qoperator.oper == OP_NOT;
}

static Matches of_item(const Search *s, const QueryItem *item, bool in_phrase);

static Matches
of_phrase(const Search *s, const QueryItem *item)
{
    const QueryItem *l = item + item->qoperator.left, *r = item + 1;
    int distance = item->qoperator.distance;
    Matches left = of_item(s, is_not(l) ? l + 1 : l, true);
    Matches right = of_item(s, is_not(r) ? r + 1 : r, true);

    if (is_not(l))
        return is_not(r) ? (Matches){0} : without(&right, &left, distance, true);
    if (is_not(r))
        return without(&left, &right, distance, false);
    return in_sequence(&left, &right, distance);
}

/* in_phrase: AND there means in the same place. */
static Matches
of_item(const Search *s, const QueryItem *item, bool in_phrase)
{
    Matches left, right;

    check_stack_depth();
    if (item->type == QI_VAL)
        return of_operand(s, &item->qoperand);
    if (item->qoperator.oper == OP_NOT)
        return (Matches){0};
    if (item->qoperator.oper == OP_PHRASE)
        return of_phrase(s, item);
    left = of_item(s, item + item->qoperator.left, in_phrase);
    right = of_item(s, item + 1, in_phrase);
    if (in_phrase && item->qoperator.oper == OP_AND)
        return in_sequence(&left, &right, 0);
    append(&left, &right);
    return left;
}

/* ---- places ---- */

/* Bytes of the flow that are shown as one. */
typedef struct Range
{
    int from, to, group;
} Range;

static int
by_place(const void *a, const void *b)
{
    const Range *x = a, *y = b;

    return x->from != y->from ? (x->from < y->from ? -1 : 1) : y->to - x->to;
}

/* Words of a phrase that follow each other are one range. Ranges inside others go. */
static Range *
ranges_of(const Search *s, const Matches *matches, int *n)
{
    Range *r;
    int most = 1, kept = 0;

    for (int i = 0; i < matches->n; i++)
        most += matches->m[i].n;
    r = palloc(sizeof(Range) * most);
    *n = 0;
    for (int i = 0; i < matches->n; i++)
        for (int j = 0; j < matches->m[i].n; j++)
        {
            const Word *w = &s->words[matches->m[i].words[j]];
            const Word *last = j > 0 ? &s->words[matches->m[i].words[j - 1]] : NULL;

            if (last && w->pos - last->pos <= 1 && w->to >= r[*n - 1].to)
                r[*n - 1].to = w->to;
            else
                r[(*n)++] = (Range){w->from, w->to, i + 1};
        }
    qsort(r, *n, sizeof(Range), by_place);
    for (int i = 0; i < *n; i++)
        if (kept == 0 || r[i].to > r[kept - 1].to)
            r[kept++] = r[i];
    *n = kept;
    return r;
}

static void
place_hit(Hit *h, const FlowSpan *span)
{
    const ReadElement *e = h->element;
    const char *whole = h->line ? h->line->text : e->text;
    bool own = h->line && reading_box(h->line->object, &h->box);

    h->fragment = pnstrdup(whole + h->from, h->n);
    h->has_box = own || reading_box(e->object, &h->box);
    if (!h->has_box)
        return;
    h->geometry = own ? h->line->geometry : e->geometry;
    if (own && !(h->n == span->n && span->from == h->from))
    {
        h->box = place_in_line(whole, &h->box, h->from, h->n);
        h->geometry = "estimated";
    }
}

static Hit *
hits_in_flow(const Flow *flow, TSQuery query, Part part, const HeadlineParsedText *parsed, int *n)
{
    Search s = {.flow = flow, .part = part, .query = query};
    Matches matches;
    Range *ranges;
    Hit *hits = palloc(sizeof(Hit));
    int nranges, room = 1;

    *n = 0;
    find_words(&s, parsed);
    matches = of_item(&s, GETQUERY(query), false);
    ranges = ranges_of(&s, &matches, &nranges);
    for (int i = 0; i < nranges; i++)
        for (int j = flow_find(s.flow, ranges[i].from);
             j < s.flow->nspans && s.flow->spans[j].at < ranges[i].to; j++)
        {
            const FlowSpan *span = &s.flow->spans[j];
            int from = Max(ranges[i].from, span->at), to = Min(ranges[i].to, span->at + span->n);

            if (to <= from)
                continue;
            if (*n == room)
                hits = repalloc(hits, sizeof(Hit) * (room *= 2));
            hits[*n] = (Hit){.group = ranges[i].group,
                             .element = span->element,
                             .line = span->line,
                             .from = span->from + from - span->at,
                             .n = to - from};
            place_hit(&hits[(*n)++], span);
        }
    return hits;
}

Hit *
hits_on_page(const ReadPage *page, TSQuery query, Oid config, int *n)
{
    Flow *flow = flow_of(page);
    HeadlineParsedText parsed;

    *n = 0;
    if (query->size == 0 || flow->text.len == 0)
        return palloc(sizeof(Hit));
    parsed = parse(query, config, flow->text.data, flow->text.len);
    return hits_in_flow(flow, query, (Part){0, flow->text.len}, &parsed, n);
}

/* ---- SQL ---- */

#define HIT_COLUMNS 4

static void
put_hit(ReturnSetInfo *rows, int page, const Hit *h)
{
    Datum values[HIT_COLUMNS] = {Int32GetDatum(page)};
    bool nulls[HIT_COLUMNS] = {false, !h->has_box, h->geometry == NULL, false};
    BOX box = h->box;

    values[1] = BoxPGetDatum(&box);
    values[2] = h->geometry ? CStringGetTextDatum(h->geometry) : (Datum)0;
    values[3] = PointerGetDatum(cstring_to_text_with_len(h->fragment, h->n));
    tuplestore_putvalues(rows->setResult, rows->setDesc, values, nulls);
}

/* dsocr_highlight(result jsonb, query tsquery, config regconfig) */
Datum
dsocr_highlight(PG_FUNCTION_ARGS)
{
    const Reading *r;

    InitMaterializedSRF(fcinfo, 0);
    r = reading_of(PG_GETARG_JSONB_P(0));
    for (int i = 0; i < r->npages; i++)
    {
        int n;
        Hit *hits = hits_on_page(&r->pages[i], PG_GETARG_TSQUERY(1), PG_GETARG_OID(2), &n);

        for (int j = 0; j < n; j++)
            put_hit((ReturnSetInfo *)fcinfo->resultinfo, r->pages[i].number, &hits[j]);
    }
    return (Datum)0;
}

static void
put_json(StringInfo s, const Hit *h)
{
    appendStringInfoString(s, s->len ? ", {\"text\": " : "[{\"text\": ");
    escape_json(s, h->fragment);
    if (h->has_box)
        appendStringInfo(s, ", \"bbox\": [%.0f, %.0f, %.0f, %.0f]", h->box.low.x, h->box.low.y,
                         h->box.high.x, h->box.high.y);
    else
        appendStringInfoString(s, ", \"bbox\": null");
    appendStringInfoString(s, ", \"geometry\": ");
    if (h->geometry)
        escape_json(s, h->geometry);
    else
        appendStringInfoString(s, "null");
    appendStringInfoChar(s, '}');
}

/* ---- dsocr_search ---- */

#define SNIPPET_WORDS 20

static List *
headline_options(void)
{
    static const char *const options[][2] = {{"StartSel", "["},
                                             {"StopSel", "]"},
                                             {"MaxFragments", "2"},
                                             {"MinWords", "5"},
                                             {"MaxWords", CppAsString2(SNIPPET_WORDS)}};
    List *list = NIL;

    for (int i = 0; i < (int)lengthof(options); i++)
        list = lappend(list, makeDefElem(pstrdup(options[i][0]),
                                         (Node *)makeString(pstrdup(options[i][1])), -1));
    return list;
}

/* What is shown of a page: its searched text, and what was parsed of it and marked for the snippet. */
typedef struct Shown
{
    TSQuery query;
    Oid config;
    const text *searched;
    Part part;
    HeadlineParsedText parsed;
    bool marked; /* false: the configuration's parser makes no headlines */
} Shown;

static void
parse_part(Shown *s)
{
    s->parsed = parse(s->query, s->config, VARDATA_ANY(s->searched) + s->part.from,
                      s->part.to - s->part.from);
}

/* As ts_headline, which marks and cuts the parsed words. */
static void
mark(Shown *s)
{
    TSParserCacheEntry *parser = lookup_ts_parser_cache(lookup_ts_config_cache(s->config)->prsId);

    s->marked = OidIsValid(parser->headlineOid);
    if (s->marked)
        FunctionCall3(&parser->prsheadline, PointerGetDatum(&s->parsed),
                      PointerGetDatum(headline_options()), PointerGetDatum(s->query));
}

/* False: it takes all of the text. A headline that begins where the part does is not of the hits, but the text's own
 * beginning. */
static bool
show_part(Shown *s, TSVector tsv)
{
    int n = VARSIZE_ANY_EXHDR(s->searched);

    s->part = near_hits(VARDATA_ANY(s->searched), n, s->query, SNIPPET_WORDS);
    if (s->part.to - s->part.from == n)
        return false;
    parse_part(s);
    if (!near_is_all(s->part, n, tsv, s->query, &s->parsed, SNIPPET_WORDS))
        return false;
    mark(s);
    return s->part.from == 0 || s->parsed.curwords == 0 || !s->parsed.words[0].in;
}

static void
show_all(Shown *s)
{
    s->part = (Part){0, VARSIZE_ANY_EXHDR(s->searched)};
    parse_part(s);
    mark(s);
}

/* Each run of white space becomes one space, in place. */
static void
close_up(text *t)
{
    char *from = VARDATA(t), *end = from + VARSIZE(t) - VARHDRSZ, *to = from;

    for (; from < end; from++)
        if (!isspace((unsigned char)*from))
            *to++ = *from;
        else if (to == VARDATA(t) || to[-1] != ' ')
            *to++ = ' ';
    SET_VARSIZE(t, to - (char *)t);
}

static text *
snippet_of(Shown *s)
{
    text *snippet;

    if (!s->marked)
        return cstring_to_text("");
    snippet = generateHeadline(&s->parsed);
    close_up(snippet);
    return snippet;
}

/* The words of the searched text are the flow's unless somebody has changed it. */
static void
put_page(StringInfo to, const ReadPage *page, const Shown *s)
{
    Flow *flow = flow_of(page);
    bool same = flow->text.len == (int)VARSIZE_ANY_EXHDR(s->searched) &&
                memcmp(flow->text.data, VARDATA_ANY(s->searched), flow->text.len) == 0;
    int n;
    Hit *hits = same ? hits_in_flow(flow, s->query, s->part, &s->parsed, &n)
                     : hits_on_page(page, s->query, s->config, &n);

    for (int i = 0; i < n; i++)
        put_json(to, &hits[i]);
}

void
show_page(TSQuery query, Oid config, Datum search_text, Datum tsv, Datum result, Datum *snippet,
          Datum *highlights)
{
    const Reading *r = result ? reading_texts_of(DatumGetJsonbP(result)) : NULL;
    Shown shown = {.searched = search_text ? DatumGetTextPP(search_text) : cstring_to_text(""),
                   .query = query,
                   .config = config};
    StringInfoData s;

    if (tsv == (Datum)0 || !show_part(&shown, DatumGetTSVector(tsv)))
        show_all(&shown);
    initStringInfo(&s);
    for (int i = 0; r && query->size > 0 && i < r->npages; i++)
        put_page(&s, &r->pages[i], &shown);
    appendStringInfoString(&s, s.len ? "]" : "[]");
    *highlights = DirectFunctionCall1(jsonb_in, CStringGetDatum(s.data));
    *snippet = PointerGetDatum(snippet_of(&shown));
}
