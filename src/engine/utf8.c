/* utf8.c - reading UTF-8 that nobody has checked yet. */
#include "utf8.h"

/* Bytes a character has by its first byte, and the range its second byte must lie in (Unicode table 3-7). */
static size_t
sequence(unsigned char first, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (first < 0x80)
        return 1;
    if (first < 0xC2 || first > 0xF4)
        return 0;
    if (first < 0xE0)
        return 2;
    if (first == 0xE0)
        *low = 0xA0;
    if (first == 0xED)
        *high = 0x9F;
    if (first == 0xF0)
        *low = 0x90;
    if (first == 0xF4)
        *high = 0x8F;
    return first < 0xF0 ? 3 : 4;
}

size_t
utf8_next(const char *s, size_t n, int32_t *cp)
{
    static const unsigned char payload[5] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    const unsigned char *b = (const unsigned char *)s;
    unsigned char low, high;
    size_t want = sequence(b[0], &low, &high);
    int32_t c = b[0] & payload[want];

    *cp = -1;
    if (want == 0)
        return 1;
    for (size_t i = 1; i < want; i++, low = 0x80, high = 0xBF)
    {
        if (i >= n || b[i] < low || b[i] > high)
            return i;
        c = c << 6 | (b[i] & 0x3F);
    }
    *cp = c;
    return want;
}

size_t
utf8_count(const char *s, size_t n)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++)
        count += ((unsigned char)s[i] & 0xC0) != 0x80;
    return count;
}

size_t
utf8_put(char *out, uint32_t cp)
{
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp < 0xE000))
        cp = 0xFFFD;
    if (cp < 0x80)
    {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800)
    {
        out[0] = (char)(0xC0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000)
    {
        out[0] = (char)(0xE0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3F));
        out[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3F));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3F));
    out[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}

static int
is_space(int32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

void
utf8_strip(const char **text, size_t *n)
{
    size_t end = 0, i = 0, step;
    int32_t c;

    for (; i < *n; i += step)
    {
        step = utf8_next(*text + i, *n - i, &c);
        if (!is_space(c))
            break;
    }
    *text += i;
    *n -= i;
    for (i = 0; i < *n; i += step)
    {
        step = utf8_next(*text + i, *n - i, &c);
        if (!is_space(c))
            end = i + step;
    }
    *n = end;
}
