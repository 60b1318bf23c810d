/* letters.c - what kind of character stands somewhere.
 *
 * Not the server's isalpha: an IMMUTABLE function must not depend on a locale, and in the C locale only ASCII has
 * letters. The tables know the scripts of Europe well and others roughly: what is no known sign is a letter. */
#include "compat.h"

#include "mb/pg_wchar.h"

#include "letters.h"

uint32
letter_at(const char *s, int n, int *length)
{
    unsigned char first = (unsigned char)*s;
    uint32 code = 0xfffd;
    char *utf8;

    *length = 1;
    if (first < 0x80)
        return first;
    *length = Min(n, pg_mblen(s));
    if (GetDatabaseEncoding() == PG_UTF8)
        return *length == pg_utf_mblen((const unsigned char *)s)
                   ? utf8_to_unicode((const unsigned char *)s)
                   : code;
    utf8 = pg_server_to_any(s, *length, PG_UTF8);
    if (utf8 && utf8 != s)
        code = utf8_to_unicode((unsigned char *)utf8);
    return code;
}

uint32
letter_before(const char *s, int n, int *length)
{
    int at = n - 1;

    if (GetDatabaseEncoding() == PG_UTF8)
        while (at > 0 && ((unsigned char)s[at] & 0xc0) == 0x80)
            at--;
    else if (pg_database_encoding_max_length() > 1)
        for (at = 0; at + pg_mblen(s + at) < n;)
            at += pg_mblen(s + at);
    return letter_at(s + at, n - at, length);
}

bool
is_digit(uint32 c)
{
    return c >= '0' && c <= '9';
}

bool
is_space(uint32 c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || c == 0xa0 || (c >= 0x2000 && c <= 0x200b) ||
           c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x3000 || c == 0xfeff;
}

bool
is_hyphen(uint32 c)
{
    return c == '-' || c == '=' || c == 0xac || c == 0xad || c == 0x2010 || c == 0x2e17;
}

bool
is_letter(uint32 c)
{
    if (c < 0x80)
        return (c | 32) >= 'a' && (c | 32) <= 'z';
    if (c < 0xc0)
        return c == 0xaa || c == 0xb5 || c == 0xba;
    if (c == 0xd7 || c == 0xf7 || c == 0xfffd)
        return false;
    return !(c >= 0x2000 && c < 0x2c00) && !(c >= 0x2e00 && c < 0x2e80) &&
           !(c >= 0x3000 && c < 0x3005) && !(c >= 0x3008 && c < 0x3021) &&
           !(c >= 0xe000 && c < 0xf900) && !(c >= 0xfe10 && c < 0xfe70) &&
           !(c >= 0xff00 && c < 0xff10);
}

bool
is_upper(uint32 c)
{
    if (c < 0x80)
        return c >= 'A' && c <= 'Z';
    if (c < 0x100)
        return c >= 0xc0 && c <= 0xde && c != 0xd7;
    if (c < 0x180) /* pairs; which of the two is the capital changes twice */
        return ((c >= 0x139 && c <= 0x148) || c >= 0x179) ? (c & 1) : !(c & 1);
    return (c >= 0x386 && c <= 0x3ab && c != 0x390) || (c >= 0x400 && c <= 0x42f) ||
           (c >= 0x460 && c < 0x530 && !(c & 1));
}

bool
is_right_to_left(uint32 c)
{
    return (c >= 0x590 && c <= 0x8ff) || (c >= 0xfb1d && c <= 0xfdff) ||
           (c >= 0xfe70 && c <= 0xfefc);
}
