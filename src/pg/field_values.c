/* field_values.c - numbers, amounts and dates in a text.
 *
 * 1,234.50 and 1.234,50 tell by their last mark which is the decimal one. A single mark is that, too, unless exactly three
 * digits follow and a number that is not 0 goes before: 1,234 is a thousand. 03/04/2018 is the third of April, or with day_first
 * false the fourth of March; where one of the two is above 12, it is the day whatever was asked. */
#include "compat.h"

#include "field_values.h"
#include "letters.h"

/* ---- characters ---- */

static int
digits_at(const Folded *f, int i)
{
    int n = 0;

    while (is_digit(f->c[i + n]))
        n++;
    return n;
}

static int
spaces_at(const Folded *f, int i)
{
    int n = 0;

    while (f->c[i + n] == ' ')
        n++;
    return n;
}

static pg_wchar
before(const Folded *f, int i)
{
    return i > 0 ? f->c[i - 1] : 0;
}

static bool
is_minus(pg_wchar c)
{
    return c == '-' || c == 0x2212 || c == 0x2013;
}

static bool
is_currency(pg_wchar c)
{
    return c == '$' || (c >= 0xa2 && c <= 0xa5) || (c >= 0x20a0 && c < 0x20d0);
}

/* ---- numbers ---- */

/* Between digits. A space does only where a decimal comma follows: 12 345,60. */
static bool
is_mark(pg_wchar c)
{
    return c == '.' || c == ',' || c == '\'' || c == 0x2019;
}

static int
spaced_thousands(const Folded *f, int i)
{
    int n = digits_at(f, i);

    if (n > 3)
        return 0;
    while (f->c[i + n] == ' ' && digits_at(f, i + n + 1) == 3)
        n += 4;
    return n > 3 && f->c[i + n] == ',' && digits_at(f, i + n + 1) == 2 ? n + 3 : 0;
}

/* A reader's slip: 5. 75 */
static bool
cents_behind_space(const Folded *f, int i)
{
    return f->c[i] == '.' && f->c[i + 1] == ' ' && digits_at(f, i + 2) == 2 &&
           !is_mark(f->c[i + 4]);
}

static int
number_length(const Folded *f, int i, bool amount)
{
    int n = spaced_thousands(f, i);

    if (n > 0)
        return n;
    n = digits_at(f, i);
    while (is_mark(f->c[i + n]) && is_digit(f->c[i + n + 1]))
        n += 1 + digits_at(f, i + n + 1);
    return amount && cents_behind_space(f, i + n) ? n + 4 : n;
}

/* Which place of a number [n] is its decimal mark: n when it has none, -1 when it cannot be a number. */
static int
decimal_place(const Folded *f, int i, int n, char decimal)
{
    int last = -1, count = 0;

    for (int k = 0; k < n; k++)
        if (f->c[i + k] == '.' || f->c[i + k] == ',')
            last = k;
    if (last < 0)
        return n;
    for (int k = 0; k < n; k++)
        count += f->c[i + k] == f->c[i + last];
    if (decimal)
        return f->c[i + last] != (pg_wchar)decimal ? n : count == 1 ? last : -1;
    if (count > 1)
        return n;
    for (int k = 0; k < last; k++)
        if (!is_digit(f->c[i + k]))
            return last;
    return digits_at(f, i + last + 1) == 3 && f->c[i] != '0' && last <= 3 ? n : last;
}

/* Thousands are in groups of three, all with the same mark. */
static bool
groups_are_right(const Folded *f, int i, int n)
{
    int group = digits_at(f, i);
    pg_wchar mark = f->c[i + group];

    if (group == n)
        return true;
    if (group > 3)
        return false;
    for (int k = group; k < n; k += 4)
        if (f->c[i + k] != mark || digits_at(f, i + k + 1) != 3)
            return false;
    return true;
}

static bool
is_negative(const Folded *f, int from, int to)
{
    int i = from;

    if (is_currency(before(f, i)))
        i--;
    if (is_minus(before(f, i)))
        return !fold_is_word(before(f, i - 1));
    return is_minus(f->c[to]) && !fold_is_word(f->c[to + 1]);
}

/* A number that is a part of something else: a date, a time, a code, a share. */
static bool
is_part(const Folded *f, int from, int to, bool amount, bool exact)
{
    pg_wchar last = before(f, from), next = f->c[to];

    if (last == '/' || last == '#' || (last == ':' && is_digit(before(f, from - 1))))
        return true;
    if ((is_mark(last) && !is_letter(before(f, from - 1))) ||
        (is_minus(last) && fold_is_word(before(f, from - 1))))
        return true;
    if ((next == '/' || next == ':' || (is_minus(next) && !exact)) && is_digit(f->c[to + 1]))
        return true;
    if (!exact && (is_letter(last) || is_letter(next)))
        return true;
    if (!amount)
        return false;
    return f->c[to + spaces_at(f, to)] == '%' || (!exact && f->c[from] == '0' && to > from + 1);
}

static bool
number_at(const Folded *f, int i, int n, bool amount, char decimal, FoundValue *v)
{
    int place = decimal_place(f, i, n, decimal), to = 0;
    char *value;

    *v = (FoundValue){.from = i, .to = i + n, .exact = place >= 0 && place < n};
    if (place < 0 || !groups_are_right(f, i, place) || is_part(f, i, i + n, amount, v->exact))
        return false;
    v->value = value = palloc(n + 2);
    if (is_negative(f, i, i + n))
        value[to++] = '-';
    for (int k = 0, first = to; k < n; k++)
        if (k == place)
            value[to++] = '.';
        else if (is_digit(f->c[i + k]))
        {
            if (to == first + 1 && value[first] == '0') /* JSON has no leading zeros */
                to--;
            value[to++] = (char)f->c[i + k];
        }
    value[to] = '\0';
    return true;
}

bool
value_number(const Folded *f, int from, int to, bool amount, char decimal, FoundValue *v)
{
    for (int i = from; i < to; i++)
    {
        int n;

        if (!is_digit(f->c[i]) || is_digit(before(f, i)))
            continue;
        n = number_length(f, i, amount);
        if (i + n <= to && number_at(f, i, n, amount, decimal, v))
            return true;
        i += n - 1;
    }
    return false;
}

/* ---- dates ---- */

/* A number that goes on is no date: 3/21-12-05, 12.3.2018.7 */
static bool
goes_on(const Folded *f, int i, int step)
{
    pg_wchar c = step > 0 ? f->c[i] : before(f, i),
             next = step > 0 ? f->c[i + 1] : before(f, i - 1);

    return is_digit(c) || ((c == '/' || c == '.' || is_minus(c)) && is_digit(next));
}

typedef struct Scan
{
    const Folded *f;
    int i, years_from;
} Scan;

static const char *const months[12] = {
    "january januar janner janvier enero gennaio janeiro januari",
    "february februar fevrier febrero febbraio fevereiro februari",
    "march marz maerz mars marzo marco maart mrt",
    "april avril abril aprile",
    "may mai mayo maggio maio mei maj",
    "june juni juin junio giugno junho",
    "july juli juillet julio luglio julho",
    "august aout agosto augustus augusti",
    "september septembre septiembre settembre setembro",
    "october oktober octobre octubre ottobre outubro",
    "november novembre noviembre novembro",
    "december dezember decembre diciembre dicembre dezembro desember"};

/* Whether the word [n] is one of the names, or the beginning of one. */
static bool
is_name(const Folded *f, int i, int n, const char *names)
{
    for (const char *name = names; name; name = strchr(name, ' '))
    {
        int same = 0;

        name += *name == ' ';
        while (same < n && (pg_wchar)(unsigned char)name[same] == f->c[i + same])
            same++;
        if (same == n)
            return true;
    }
    return false;
}

/* 1 to 12, passed; 0: no month's name is there. */
static int
pass_month(Scan *s)
{
    int n = 0;

    while (is_letter(s->f->c[s->i + n]))
        n++;
    for (int m = 0; n >= 3 && m < 12; m++)
        if (is_name(s->f, s->i, n, months[m]))
        {
            s->i += n;
            return m + 1;
        }
    return 0;
}

/* Passes digits; -1: there are not that many. */
static int
pass_digits(Scan *s, int least, int most)
{
    int n = digits_at(s->f, s->i), value = 0;

    if (n < least || n > most)
        return -1;
    for (; n > 0; n--)
        value = value * 10 + (int)(s->f->c[s->i++] - '0');
    return value;
}

static int
pass_year(Scan *s)
{
    int year;

    if (s->f->c[s->i] == '\'' || s->f->c[s->i] == 0x2019)
        s->i++;
    if (digits_at(s->f, s->i) == 3)
        return -1;
    year = pass_digits(s, 2, 4);
    return year < 0 || year > 99 ? year : s->years_from + (year + 100 - s->years_from % 100) % 100;
}

/* The mark of a date in digits, which may have spaces around it. With mark 0 any is taken, and returned. */
static pg_wchar
pass_mark(Scan *s, pg_wchar mark)
{
    int i = s->i + spaces_at(s->f, s->i);
    pg_wchar c = is_minus(s->f->c[i]) ? '-' : s->f->c[i];

    if (mark ? c != mark : c != '/' && c != '.' && c != '-')
        return 0;
    i++;
    s->i = i + spaces_at(s->f, i);
    return c;
}

/* What stands between the parts of a date in words: "1st of May, 1898", "1. Mai 1898", "2 de enero de 2018". */
static void
pass_between(Scan *s)
{
    static const char *const words[] = {"st", "nd", "rd",  "th",  "er",
                                        "of", "de", "den", "del", NULL};
    int start;

    do
    {
        start = s->i;
        while (s->f->c[s->i] == ' ' || s->f->c[s->i] == '.' || s->f->c[s->i] == ',' ||
               is_minus(s->f->c[s->i]) || s->f->c[s->i] == '/')
            s->i++;
        for (int w = 0; words[w]; w++)
        {
            int n = strlen(words[w]);

            if (s->i + n <= s->f->n && !is_letter(s->f->c[s->i + n]) &&
                is_name(s->f, s->i, n, words[w]))
            {
                s->i += n;
                break;
            }
        }
    } while (s->i > start);
}

static bool
is_day(int year, int month, int day)
{
    static const int days[12] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return year >= 1000 && month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1] &&
           (leap || month != 2 || day < 29);
}

static bool
in_digits(Scan *s, bool day_first, int ymd[3])
{
    bool year_first = digits_at(s->f, s->i) == 4;
    int a = year_first ? pass_year(s) : pass_digits(s, 1, 2), b, c;
    pg_wchar mark = a < 0 ? 0 : pass_mark(s, 0);

    if (mark == 0 || (b = pass_digits(s, 1, 2)) < 0 || !pass_mark(s, mark))
        return false;
    c = year_first ? pass_digits(s, 1, 2) : pass_year(s);
    if (c < 0)
        return false;
    ymd[0] = year_first ? a : c;
    ymd[1] = year_first || day_first ? b : a;
    ymd[2] = year_first ? c : day_first ? a : b;
    if (!year_first && ymd[1] > 12)
    {
        b = ymd[1];
        ymd[1] = ymd[2];
        ymd[2] = b;
    }
    return true;
}

/* MAY 19 AUG 11 are two days without a year, and 19 AUG 11 is none. */
static bool
follows_month(const Folded *f, int i)
{
    Scan s = {f, i};

    while (s.i > 0 && f->c[s.i - 1] == ' ')
        s.i--;
    while (s.i > 0 && is_letter(f->c[s.i - 1]))
        s.i--;
    return s.i < i && pass_month(&s) > 0;
}

static bool
in_words(Scan *s, int ymd[3])
{
    int start = s->i;

    ymd[1] = pass_month(s);
    if (ymd[1] == 0)
    {
        if ((ymd[2] = pass_digits(s, 1, 2)) < 0 || follows_month(s->f, start))
            return false;
        pass_between(s);
        if ((ymd[1] = pass_month(s)) == 0)
            return false;
    }
    else
    {
        pass_between(s);
        if ((ymd[2] = pass_digits(s, 1, 2)) < 0)
            return false;
    }
    pass_between(s);
    return (ymd[0] = pass_year(s)) >= 0;
}

static bool
date_at(const Folded *f, int i, int to, bool day_first, int years_from, FoundValue *v)
{
    for (int words = 0; words < 2; words++)
    {
        Scan s = {f, i, years_from};
        int ymd[3];

        if ((words ? in_words(&s, ymd) : in_digits(&s, day_first, ymd)) && s.i <= to &&
            !goes_on(f, s.i, 1) && !goes_on(f, i, -1) && is_day(ymd[0], ymd[1], ymd[2]))
        {
            *v = (FoundValue){.from = i, .to = s.i, .exact = true};
            v->value = psprintf("%04d-%02d-%02d", ymd[0], ymd[1], ymd[2]);
            return true;
        }
    }
    return false;
}

bool
value_date(const Folded *f, int from, int to, bool day_first, int years_from, FoundValue *v)
{
    for (int i = from; i < to; i++)
    {
        pg_wchar last = before(f, i);

        if (fold_is_word(f->c[i]) && !is_digit(last) && (is_digit(f->c[i]) || !is_letter(last)) &&
            date_at(f, i, to, day_first, years_from, v))
            return true;
    }
    return false;
}
