/* place.c - where the parts of a line stand: an estimate, and called so wherever it is shown. */
#include "compat.h"

#include <math.h>

#include "letters.h"
#include "place.h"

/* Twentieths of the width of an n in a book face. */
static int
width_of(uint32 c)
{
    if (is_space(c))
        return 10;
    if (c < 0x80 && strchr("iljtI.,:;'!|()[]`", (int)c))
        return 11;
    if (c < 0x80 && strchr("frs-\"*", (int)c))
        return 15;
    if (c < 0x80 && strchr("mwMW@%", (int)c))
        return 32;
    if (c >= 0x2e80 && c < 0xfb00) /* Chinese, Japanese, Korean */
        return 36;
    return is_upper(c) ? 26 : 20;
}

/* Widths up to two places, and of all of it. */
static void
measure(const char *text, int from, int to, double *before, double *upto, double *all,
        bool *right_to_left)
{
    int n = strlen(text), length;

    *before = *upto = *all = 0;
    *right_to_left = false;
    for (int at = 0; at < n; at += length)
    {
        uint32 c = letter_at(text + at, n - at, &length);
        int width = width_of(c);

        *before += at < from ? width : 0;
        *upto += at < to ? width : 0;
        if (*all == 0 || at == 0)
            *right_to_left = is_right_to_left(c);
        *all += width;
    }
}

BOX
place_in_line(const char *text, const BOX *line, int from, int n)
{
    double before, upto, all, width = line->high.x - line->low.x;
    bool right_to_left;
    BOX box = *line;

    measure(text, from, from + n, &before, &upto, &all, &right_to_left);
    if (all <= 0)
        return box;
    if (right_to_left)
    {
        box.low.x = line->high.x - width * upto / all;
        box.high.x = line->high.x - width * before / all;
    }
    else
    {
        box.low.x = line->low.x + width * before / all;
        box.high.x = line->low.x + width * upto / all;
    }
    box.low.x = rint(box.low.x);
    box.high.x = rint(box.high.x);
    return box;
}

int
place_next_word(const char *text, int *at, int *from)
{
    int n = strlen(text), length;

    while (*at < n && is_space(letter_at(text + *at, n - *at, &length)))
        *at += length;
    *from = *at;
    while (*at < n && !is_space(letter_at(text + *at, n - *at, &length)))
        *at += length;
    return *at - *from;
}
