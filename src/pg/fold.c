/* fold.c - a text without case and accents, so that labels are found as people read them.
 *
 * Accents go by Unicode's decomposition, which the server has for every encoding once a text is code points; case by rule
 * for the Latin, Greek and Cyrillic scripts, since an IMMUTABLE function must not ask a locale. Labels are compared by their
 * letters and digits alone: readers lose spaces and dots first. */
#include "compat.h"

#include "common/unicode_norm.h"

#include "fold.h"
#include "letters.h"

#define MOST_ERRORS      3
#define LETTERS_AN_ERROR 5 /* a label of less is found exactly, or not */

static pg_wchar
small(pg_wchar c)
{
    if (!is_upper(c))
        return c;
    if (c >= 0x100 && c < 0x180)
        return c + 1;
    if (c >= 0x400 && c < 0x410)
        return c + 80;
    return c >= 0x460 && c < 0x530 ? c + 1 : c + 32;
}

static bool
is_accent(pg_wchar c)
{
    return c >= 0x300 && c < 0x370;
}

bool
fold_is_word(pg_wchar c)
{
    return is_digit(c) || is_letter(c);
}

/* What readers take for one another. */
static pg_wchar
as_mistaken(pg_wchar c)
{
    static const char from[] = "015i8", to[] = "olslb";
    const char *p = c > 0 && c < 0x80 ? strchr(from, (int)c) : NULL;

    return p ? (pg_wchar)to[p - from] : c;
}

/* Letters that are two, which Unicode does not divide. */
static const char *
two_letters(pg_wchar c)
{
    switch (c)
    {
        case 0xdf:
            return "ss";
        case 0xc6:
        case 0xe6:
            return "ae";
        case 0x152:
        case 0x153:
            return "oe";
        case 0xfb00:
            return "ff";
        case 0xfb01:
            return "fi";
        case 0xfb02:
            return "fl";
        default:
            return NULL;
    }
}

static void
add_character(Folded *f, pg_wchar c, int at)
{
    const char *two = two_letters(c);

    if (is_accent(c))
        return;
    if (two)
    {
        add_character(f, (pg_wchar)two[0], at);
        c = (pg_wchar)two[1];
    }
    f->c[f->n] = small(is_space(c) ? ' ' : c);
    f->at[f->n] = at;
    if (fold_is_word(c))
    {
        f->where[f->nletters] = f->n;
        f->letters[f->nletters++] = as_mistaken(f->c[f->n]);
    }
    f->n++;
}

Folded
fold(const char *text)
{
    int bytes = strlen(text), most = bytes * 2 + 1, length; /* no byte becomes more than two */
    Folded f = {.text = text};

    f.c = palloc(sizeof(pg_wchar) * most);
    f.at = palloc(sizeof(int) * most);
    f.letters = palloc(sizeof(pg_wchar) * most);
    f.where = palloc(sizeof(int) * most);
    for (int at = 0; at < bytes; at += length)
    {
        pg_wchar one[2] = {letter_at(text + at, bytes - at, &length), 0};

        if (one[0] < 0x80)
            add_character(&f, one[0], at);
        else
            for (pg_wchar *parts = unicode_normalize(UNICODE_NFD, one); *parts; parts++)
                add_character(&f, *parts, at);
    }
    f.c[f.n] = 0;
    f.at[f.n] = bytes;
    return f;
}

/* Whether a word may end behind that letter. */
static bool
ends_word(const Folded *f, int letter)
{
    int here = f->where[letter];

    return letter + 1 == f->nletters || f->where[letter + 1] > here + 1 ||
           (is_digit(f->c[here + 1]) && !is_digit(f->c[here]));
}

/* The edit distance, a row for each letter of the text. The first column: how much of the label is left out so far. */
int
fold_label_at(const Folded *text, int start, const Folded *label, int *end)
{
    int m = label->nletters, limit = Min(m / LETTERS_AN_ERROR, MOST_ERRORS), best = -1;
    int *row = palloc(sizeof(int) * (m + 1));

    for (int j = 0; j <= m; j++)
        row[j] = j;
    for (int i = start; i < text->nletters && i - start < m + limit; i++)
    {
        int before = row[0], least = ++row[0];

        for (int j = 1; j <= m; j++)
        {
            int replaced = before + (text->letters[i] != label->letters[j - 1]);

            before = row[j];
            row[j] = Min(replaced, Min(row[j], row[j - 1]) + 1);
            least = Min(least, row[j]);
        }
        if (row[m] <= limit && ends_word(text, i) && (best < 0 || row[m] < best))
        {
            best = row[m];
            *end = i + 1;
        }
        if (least > limit)
            break;
    }
    pfree(row);
    return best;
}
