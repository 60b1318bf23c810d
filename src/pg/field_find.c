/* field_find.c - where the fields of a schema are on the pages of a result.
 *
 * A page is pieces: lines, and cells of tables that have cells. A label stands at the beginning of words; its value is looked
 * for behind it in the same piece, then in the next cell or further right in the same row of the page, then below, and a value
 * that has a form, which tells it from other texts, above at last. All that is found is compared, and the best one taken:
 *
 *   plain     nothing but signs and a currency between label and value, and no word right before the label
 *   beside    not below, nor above
 *   marked    of a text: with a colon, or alone
 *   label     the one that the schema names first; with fewer errors
 *   take      first, last, largest
 *
 * Sharp edge: "total" is in "Total GST" and "Sub total", too. A longer label, of whatever field, hides shorter ones in it; other
 * words make a find less plain. */
#include "compat.h"

#include <math.h>

#include "miscadmin.h"

#include "fields.h"
#include "letters.h"
#include "place.h"
#include "table_cells.h"

#define FAR 2.5 /* heights of a line, from middle to middle */

/* A line or a cell. */
typedef struct Piece
{
    Folded f;
    const ReadPage *page;
    const ReadElement *element;
    const TableCell *cell; /* NULL: a line */
    bool has_box;          /* its own; a cell's is its element's */
    BOX box;
    double confidence;
    int first_of_page; /* which piece is that */
    int first_find, nfinds;
} Piece;

/* A label that was found. */
typedef struct Find
{
    int piece, field, label, errors;
    int from, to; /* of the piece's folded text */
    bool follows; /* a word stands right before it */
    bool marked;  /* a sign stands behind it, or it stands alone */
    bool hidden;  /* by a longer one */
} Find;

typedef enum Place
{
    RIGHT,
    CELL,
    BELOW,
    ABOVE,
    ANYWHERE
} Place;

static const char *const methods[] = {"right", "cell", "below", "above", "anywhere"};

/* A value that may be it. */
typedef struct Candidate
{
    FieldValue v;
    int doubts; /* 0: plain and beside; more is worse */
    Place place;
    int label, errors;
} Candidate;

typedef struct Search
{
    const Field *fields;
    int nfields;
    Piece *pieces;
    int npieces, room;
    Find *finds; /* of all pieces, in their order */
    int nfinds, find_room;
} Search;

/* ---- pieces ---- */

static Piece *
new_piece(Search *s, const ReadPage *page, const ReadElement *e, const char *text)
{
    Piece *p;

    if (s->npieces == s->room)
        s->pieces = repalloc(s->pieces, sizeof(Piece) * (s->room *= 2));
    p = &s->pieces[s->npieces++];
    *p = (Piece){.f = fold(text),
                 .page = page,
                 .element = e,
                 .has_box = e->has_box,
                 .box = e->box,
                 .confidence = e->confidence,
                 .first_of_page = s->npieces - 1};
    if (p->first_of_page > 0 && p[-1].page == page)
        p->first_of_page = p[-1].first_of_page;
    return p;
}

static bool
add_cells(Search *s, const ReadPage *page, const ReadElement *e)
{
    int n = 0;
    TableCell *cells = e->content ? table_cells(e->content, &n) : NULL;

    for (int i = 0; i < n; i++)
        new_piece(s, page, e, cells[i].text)->cell = &cells[i];
    return n > 0;
}

static void
add_lines(Search *s, const ReadPage *page, const ReadElement *e)
{
    for (int i = 0; i < e->nlines; i++)
    {
        const ReadLine *l = &e->lines[i];
        Piece *p = new_piece(s, page, e, l->text);

        p->has_box = l->has_box;
        p->box = l->box;
        p->confidence = l->confidence >= 0 ? l->confidence : e->confidence;
    }
    for (const char *t = e->text; e->nlines == 0 && *t; t += strcspn(t, "\n"), t += *t == '\n')
        new_piece(s, page, e, pnstrdup(t, strcspn(t, "\n")))->has_box = false;
}

static void
add_pieces(Search *s, const Reading *r)
{
    s->room = 64;
    s->pieces = palloc(sizeof(Piece) * s->room);
    for (int i = 0; i < r->npages; i++)
        for (int k = 0; k < r->pages[i].nelements; k++)
            if (!add_cells(s, &r->pages[i], &r->pages[i].elements[k]))
                add_lines(s, &r->pages[i], &r->pages[i].elements[k]);
}

/* ---- labels ---- */

static bool
begins_word(const Folded *f, int letter)
{
    int here = f->where[letter];

    return here == 0 || !fold_is_word(f->c[here - 1]) ||
           (is_digit(f->c[here - 1]) && !is_digit(f->c[here]));
}

/* Whether a word, of letters, and no sign, stands before. */
static bool
follows_word(const Folded *f, int from)
{
    while (from > 0 && (f->c[from - 1] == ' ' || f->c[from - 1] == '-'))
        from--;
    return from > 0 && is_letter(f->c[from - 1]);
}

static bool
is_marked(const Folded *f, int from, int to)
{
    while (f->c[to] == ' ')
        to++;
    if (to == f->n)
        return !follows_word(f, from);
    return f->c[to] < 0x80 && strchr(":.=#_-", (int)f->c[to]);
}

/* What is printed as a label has a capital or a sign; in a sentence the same word has neither. */
static bool
is_in_sentence(const Piece *p, const Find *find)
{
    int length;
    uint32 first =
        letter_at(p->f.text + p->f.at[find->from], p->f.at[p->f.n] - p->f.at[find->from], &length);

    return !find->marked && is_letter(first) && first < 0x530 && !is_upper(first);
}

static void
add_find(Search *s, Find find)
{
    if (s->nfinds == s->find_room)
        s->finds = repalloc(s->finds, sizeof(Find) * (s->find_room *= 2));
    s->finds[s->nfinds++] = find;
}

static void
find_label(Search *s, int piece, int field, int label)
{
    const Folded *f = &s->pieces[piece].f, *l = &s->fields[field].labels[label];
    int end;

    CHECK_FOR_INTERRUPTS();
    for (int i = 0; i < f->nletters; i++)
    {
        int errors = begins_word(f, i) ? fold_label_at(f, i, l, &end) : -1;

        if (errors >= 0)
            add_find(s, (Find){.piece = piece,
                               .field = field,
                               .label = label,
                               .errors = errors,
                               .from = f->where[i],
                               .to = f->where[end - 1] + 1,
                               .follows = follows_word(f, f->where[i]),
                               .marked = is_marked(f, f->where[i], f->where[end - 1] + 1)});
    }
}

static bool
hides(const Find *a, const Find *b)
{
    return a->from <= b->from && a->to >= b->to && a->to - a->from > b->to - b->from;
}

static void
find_labels(Search *s)
{
    s->find_room = 64;
    s->finds = palloc(sizeof(Find) * s->find_room);
    for (int i = 0; i < s->npieces; i++)
    {
        s->pieces[i].first_find = s->nfinds;
        for (int k = 0; k < s->nfields; k++)
            for (int l = 0; l < s->fields[k].nlabels; l++)
                find_label(s, i, k, l);
        s->pieces[i].nfinds = s->nfinds - s->pieces[i].first_find;
        for (int a = s->pieces[i].first_find; a < s->nfinds; a++)
        {
            CHECK_FOR_INTERRUPTS();
            for (int b = s->pieces[i].first_find; b < s->nfinds; b++)
                s->finds[b].hidden |= hides(&s->finds[a], &s->finds[b]);
        }
    }
}

/* Where the next label behind character `from` begins; the text's end when there is none. */
static int
next_label(const Search *s, const Piece *p, int from)
{
    int next = p->f.n;

    for (int i = p->first_find; i < p->first_find + p->nfinds; i++)
        if (!s->finds[i].hidden && s->finds[i].from >= from)
            next = Min(next, s->finds[i].from);
    return next;
}

/* ---- values in a piece ---- */

static BOX
box_of(const Piece *p, int from, int to)
{
    if (!p->has_box || p->cell)
        return p->element->box;
    return place_in_line(p->f.text, &p->box, p->f.at[from], p->f.at[to] - p->f.at[from]);
}

static bool
is_value(pg_wchar c)
{
    return fold_is_word(c) || c == '(' || c == '$' || c == '"' || (c >= 0xa2 && c <= 0xa5) ||
           c >= 0x20a0;
}

/* The text of [from, to) without signs at its beginning, and, behind a label, without a word with a colon: "A 12 Time: 16:58" */
static bool
text_value(const Folded *f, int from, int to, bool behind, FoundValue *v)
{
    int word;

    while (from < to && !is_value(f->c[from]))
        from++;
    word = from;
    for (int i = from; behind && i < to; i++)
    {
        if (f->c[i] == ' ')
            word = i;
        else if (f->c[i] == ':' && (i + 1 == f->n || f->c[i + 1] == ' ') && is_letter(f->c[i - 1]))
            to = word;
    }
    while (to > from && (f->c[to - 1] == ' ' || f->c[to - 1] == ':' || f->c[to - 1] == '_'))
        to--;
    *v = (FoundValue){from, to, pnstrdup(f->text + f->at[from], f->at[to] - f->at[from]), true};
    return to > from;
}

/* The next value of the field's type. */
static bool
next_typed(const Field *field, const Folded *f, int from, int to, bool behind, FoundValue *v)
{
    if (field->type == FIELD_TEXT)
        return text_value(f, from, to, behind, v);
    if (field->type == FIELD_DATE)
        return value_date(f, from, to, field->day_first, field->years_from, v);
    return value_number(f, from, to, field->type == FIELD_AMOUNT, field->decimal, v);
}

static bool
next_value(const Field *field, const Folded *f, int from, int to, bool behind, FoundValue *v)
{
    int first, last;

    if (field->pattern == NULL)
        return next_typed(field, f, from, to, behind, v);
    for (; from < to && field_matches(field, f, from, to, &first, &last); from = last)
        if (next_typed(field, f, first, last, false, v))
            return true;
    return false;
}

/* Of the values in [from, to) the first; of amounts the first with decimals, if there is one. */
static bool
value_in(const Field *field, const Folded *f, int from, int to, bool behind, FoundValue *v)
{
    FoundValue next;

    if (!next_value(field, f, from, to, behind, v))
        return false;
    for (next = *v; field->type == FIELD_AMOUNT && !next.exact && next.to < to;)
    {
        if (!next_value(field, f, next.to, to, behind, &next))
            break;
        if (next.exact)
            *v = next;
    }
    return true;
}

static FieldValue
value_of(const Piece *p, const FoundValue *v, Place place)
{
    const Folded *f = &p->f;

    return (FieldValue){.found = true,
                        .value = v->value,
                        .text = pnstrdup(f->text + f->at[v->from], f->at[v->to] - f->at[v->from]),
                        .method = methods[place],
                        .page = p->page->number,
                        .has_box = p->has_box || p->element->has_box,
                        .box = box_of(p, v->from, v->to),
                        .confidence = p->confidence};
}

/* ---- what stands between label and value ---- */

/* Words that are no reason for doubt. */
static bool
is_unit(const Folded *f, int from, int n)
{
    static const char units[] =
        " rm usd us eur euro gbp chf sfr fr frs francs dm rs inr idr sgd s myr hkd hk cny rmb "
        "jpy yen aud nzd cad ca kr sek nok dkk pln zl czk kc huf ft try tl brl mxn mk mark is no "
        "nr ";
    char word[16] = " ";

    if (n > 10)
        return false;
    for (int i = 0; i < n; i++)
        word[i + 1] = f->c[from + i] < 0x80 ? (char)f->c[from + i] : '?';
    word[n + 1] = ' ';
    return strstr(units, word) != NULL;
}

static bool
has_words(const Folded *f, int from, int to)
{
    for (int i = from, n; i < to; i += n)
    {
        for (n = 0; i + n < to && is_letter(f->c[i + n]);)
            n++;
        if (n > 0 && !is_unit(f, i, n))
            return true;
        n = Max(n, 1);
    }
    return false;
}

/* ---- beside and below ---- */

static double
middle_y(const BOX *b)
{
    return (b->low.y + b->high.y) / 2;
}

static double
height(const BOX *b)
{
    return Max(1, b->high.y - b->low.y);
}

static bool
is_line_on(const Piece *p, const Piece *of)
{
    return p != of && p->has_box && of->has_box && !p->cell && !of->cell;
}

/* The nearest of the pieces that begin at x or right of it in the same row. NULL: none. */
static const Piece *
next_in_row(const Search *s, const Piece *of, double x)
{
    const Piece *best = NULL;

    CHECK_FOR_INTERRUPTS();
    for (int i = of->first_of_page; i < s->npieces && s->pieces[i].page == of->page; i++)
    {
        const Piece *p = &s->pieces[i];

        if (is_line_on(p, of) && p->box.low.x >= x &&
            fabs(middle_y(&p->box) - middle_y(&of->box)) <
                Min(height(&p->box), height(&of->box)) / 3 &&
            (best == NULL || p->box.low.x < best->box.low.x))
            best = p;
    }
    return best;
}

static bool
cell_covers(const TableCell *c, int row, int col)
{
    return row >= c->row && row < c->row + c->rowspan && col >= c->col && col < c->col + c->colspan;
}

/* The next cell with a text, right of one or below it. */
static const Piece *
next_cell(const Search *s, const Piece *of, bool below)
{
    int row = of->cell->row, col = of->cell->col;
    const Piece *best = NULL;

    CHECK_FOR_INTERRUPTS();
    for (int i = of->first_of_page; i < s->npieces && s->pieces[i].page == of->page; i++)
    {
        const Piece *p = &s->pieces[i];

        if (p == of || p->element != of->element || p->cell == NULL ||
            p->cell->table != of->cell->table || p->f.nletters == 0)
            continue;
        if (below ? p->cell->row <= row || !cell_covers(p->cell, p->cell->row, col)
                  : p->cell->col <= col || !cell_covers(p->cell, row, p->cell->col))
            continue;
        if (best == NULL ||
            (below ? p->cell->row < best->cell->row : p->cell->col < best->cell->col))
            best = p;
    }
    return best;
}

/* The nearest line below a label's box, or above it, that is not beside it; without boxes, the next line of the same element. */
static const Piece *
line_at(const Search *s, const Piece *of, const BOX *label, Place place)
{
    const Piece *best = NULL;
    double nearest = 0;

    if (!of->has_box)
        return place == BELOW && of + 1 < s->pieces + s->npieces && of[1].element == of->element
                   ? of + 1
                   : NULL;
    for (int i = of->first_of_page; i < s->npieces && s->pieces[i].page == of->page; i++)
    {
        const Piece *p = &s->pieces[i];
        double off = (place == BELOW ? 1 : -1) * (middle_y(&p->box) - middle_y(&of->box));

        if (is_line_on(p, of) && off > height(&of->box) / 3 &&
            off < FAR * Max(height(&of->box), height(&p->box)) && p->box.low.x < label->high.x &&
            p->box.high.x > label->low.x && (best == NULL || off < nearest))
        {
            best = p;
            nearest = off;
        }
    }
    return best;
}

/* ---- a label's value ---- */

/* The first character of a line, of a whole word, that ends right of x. */
static int
character_right_of(const Piece *p, double x)
{
    int i = 0, high = p->f.n;

    while (i < high)
    {
        int middle = (i + high) / 2;

        if (box_of(p, middle, middle + 1).high.x <= x)
            i = middle + 1;
        else
            high = middle;
    }
    while (i > 0 && i < p->f.n && p->f.c[i - 1] != ' ' && p->f.c[i] != ' ')
        i++;
    return i;
}

/* Of a line's values the one that stands under the label, [left, right) being its column. */
static bool
value_under(const Field *field, const Piece *p, const BOX *label, double right, FoundValue *v)
{
    double slack = height(label), nearest = -1;
    FoundValue next;
    int from = 0;

    if (!p->has_box)
        return value_in(field, &p->f, 0, p->f.n, false, v);
    if (field->type == FIELD_TEXT && field->pattern == NULL)
        return text_value(&p->f, character_right_of(p, label->low.x - slack),
                          isinf(right) ? p->f.n : character_right_of(p, right - slack), false, v);
    for (; next_value(field, &p->f, from, p->f.n, false, &next); from = next.to)
    {
        BOX b = box_of(p, next.from, next.to);
        double off = fabs(b.low.x + b.high.x - label->low.x - label->high.x);

        CHECK_FOR_INTERRUPTS();
        if (b.low.x < label->high.x + slack && b.high.x > label->low.x - slack &&
            (nearest < 0 || off < nearest))
        {
            nearest = off;
            *v = next;
        }
    }
    return nearest >= 0;
}

/* A piece that begins with another label is that one's. */
static bool
is_labelled(const Search *s, const Piece *p)
{
    for (int i = p->first_find; i < p->first_find + p->nfinds; i++)
        if (!s->finds[i].hidden && !s->finds[i].follows && s->finds[i].from == p->f.where[0])
            return true;
    return false;
}

static bool
in_row(const Search *s, const Find *find, const Piece *p, const BOX *label, const Piece **at,
       FoundValue *v)
{
    const Field *field = &s->fields[find->field];

    for (*at = next_in_row(s, p, label->high.x); *at;
         *at = next_in_row(s, p, nextafter((*at)->box.low.x, INFINITY)))
    {
        if (is_labelled(s, *at))
            return false;
        if (value_in(field, &(*at)->f, 0, next_label(s, *at, 0), true, v))
            return true;
    }
    return false;
}

static bool
in_next_cell(const Search *s, const Find *find, const Piece *p, bool below, const Piece **at,
             FoundValue *v)
{
    *at = next_cell(s, p, below);
    return *at && !is_labelled(s, *at) &&
           value_in(&s->fields[find->field], &(*at)->f, 0, (*at)->f.n, false, v);
}

/* Below the label, or above. The column ends where the next label of its line begins. */
static bool
in_line_at(const Search *s, const Find *find, const Piece *p, const BOX *label, Place place,
           const Piece **at, FoundValue *v)
{
    const Field *field = &s->fields[find->field];
    int next = next_label(s, p, find->to);
    double right = next < p->f.n ? box_of(p, next, next + 1).low.x : INFINITY;

    if (place == ABOVE && field->type == FIELD_TEXT && field->pattern == NULL)
        return false;
    *at = line_at(s, p, label, place);
    return *at && !is_labelled(s, *at) && value_under(field, *at, label, right, v);
}

static bool
around_cell(const Search *s, const Find *find, const Piece *p, Candidate *c, const Piece **at,
            FoundValue *v)
{
    bool below_first = p->cell->header;

    for (int i = 0; i < 2; i++)
    {
        bool below = (i == 0) == below_first;

        c->place = below ? BELOW : CELL;
        if (in_next_cell(s, find, p, below, at, v))
            return true;
    }
    return false;
}

static bool
around_line(const Search *s, const Find *find, const Piece *p, Candidate *c, const Piece **at,
            FoundValue *v)
{
    BOX label = box_of(p, find->from, find->to);

    c->place = RIGHT;
    if (p->has_box && in_row(s, find, p, &label, at, v))
        return true;
    for (c->place = BELOW; c->place <= ABOVE; c->place++)
        if (in_line_at(s, find, p, &label, c->place, at, v))
            return true;
    return false;
}

static bool
look_around(const Search *s, const Find *find, Candidate *c)
{
    const Piece *p = &s->pieces[find->piece], *at = p;
    const Field *field = &s->fields[find->field];
    int end = next_label(s, p, find->to);
    bool words = has_words(&p->f, find->to, end);
    bool is_text = field->type == FIELD_TEXT && field->pattern == NULL;
    FoundValue v;

    if (is_text && is_in_sentence(p, find))
        return false;
    if (value_in(field, &p->f, find->to, end, true, &v))
        words = !is_text && has_words(&p->f, find->to, v.from);
    else if (p->cell ? !around_cell(s, find, p, c, &at, &v) : !around_line(s, find, p, c, &at, &v))
        return false;
    c->v = value_of(at, &v, c->place);
    c->label = find->label;
    c->errors = find->errors;
    c->doubts = find->follows + words + (is_text && !find->marked) + (c->place >= BELOW);
    return true;
}

/* ---- the best of them ---- */

static int
compare_values(const Field *field, const char *a, const char *b)
{
    double x, y;

    if (field->type == FIELD_DATE)
        return strcmp(a, b);
    x = strtod(a, NULL);
    y = strtod(b, NULL);
    return x < y ? -1 : x > y;
}

/* b stands behind a. */
static bool
is_better(const Field *field, const Candidate *b, const Candidate *a)
{
    if (b->doubts != a->doubts)
        return b->doubts < a->doubts;
    if ((b->place >= BELOW || a->place >= BELOW) && b->place != a->place)
        return b->place < a->place;
    if (b->label != a->label)
        return b->label < a->label;
    if (b->errors != a->errors)
        return b->errors < a->errors;
    if (field->take == TAKE_LARGEST)
        return compare_values(field, b->v.value, a->v.value) > 0;
    return field->take == TAKE_LAST;
}

static void
consider(const Field *field, const Candidate *b, Candidate *best)
{
    if (!best->v.found || is_better(field, b, best))
        *best = *b;
}

/* Without any label. */
static void
look_anywhere(const Search *s, const Field *field, Candidate *best)
{
    for (int i = 0; i < s->npieces; i++)
    {
        const Piece *p = &s->pieces[i];
        FoundValue v;

        for (int from = 0; next_value(field, &p->f, from, p->f.n, false, &v); from = v.to)
        {
            Candidate c = {.v = value_of(p, &v, ANYWHERE),
                           .doubts = field->type == FIELD_AMOUNT && !v.exact};

            consider(field, &c, best);
        }
    }
}

FieldValue *
fields_find(const Reading *r, const Field *fields, int n)
{
    Search s = {.fields = fields, .nfields = n};
    Candidate *best = palloc0(sizeof(Candidate) * (n + 1));
    FieldValue *values = palloc(sizeof(FieldValue) * (n + 1));

    add_pieces(&s, r);
    find_labels(&s);
    for (int i = 0; i < s.nfinds; i++)
    {
        Candidate c = {0};

        CHECK_FOR_INTERRUPTS();
        if (!s.finds[i].hidden && look_around(&s, &s.finds[i], &c))
            consider(&fields[s.finds[i].field], &c, &best[s.finds[i].field]);
    }
    for (int k = 0; k < n; k++)
    {
        if (!best[k].v.found && (fields[k].anywhere || fields[k].nlabels == 0))
            look_anywhere(&s, &fields[k], &best[k]);
        values[k] = best[k].v;
    }
    return values;
}
