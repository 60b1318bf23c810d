/* markup.c - the HTML that readers write, taken apart; and text made safe to be put into HTML and XML.
 *
 * What a model wrote is a stranger: no tag is trusted to be closed, nothing is looked up or run, and a '<' that
 * begins no tag is a '<'. */
#include "compat.h"

#include "mb/pg_wchar.h"

#include "markup.h"

/* ---- pieces ---- */

/* HTML's rule: a letter must follow. */
static bool
begins_tag(const char *s)
{
    return s[0] == '<' &&
           (isalpha((unsigned char)s[1]) || (s[1] == '/' && isalpha((unsigned char)s[2])) ||
            (s[1] == '!' && s[2] == '-' && s[3] == '-'));
}

static const char *
tag_end(const char *s)
{
    const char *end = strncmp(s, "<!--", 4) == 0 ? strstr(s, "-->") : NULL;
    char quote = 0;

    if (end)
        return end + 3;
    for (s++; *s; s++)
        if (quote)
            quote = *s == quote ? 0 : quote;
        else if (*s == '"' || *s == '\'')
            quote = *s;
        else if (*s == '>')
            return s + 1;
    return NULL;
}

static void
take_tag(const char *s, const char *end, MarkupPiece *p)
{
    int n = 0;

    p->tag = true;
    p->closing = s[1] == '/';
    for (s += p->closing ? 2 : 1; s < end && isalnum((unsigned char)*s); s++)
        if (n < (int)sizeof p->name - 1)
            p->name[n++] = pg_tolower((unsigned char)*s);
    p->s = s;
    p->end = end - 1;
}

bool
markup_next(const char **at, MarkupPiece *piece)
{
    const char *s = *at, *end = begins_tag(s) ? tag_end(s) : NULL;

    memset(piece, 0, sizeof *piece);
    if (*s == '\0')
        return false;
    if (end)
        take_tag(s, end, piece);
    else
    {
        for (end = s + 1; *end && !begins_tag(end); end++)
            ;
        piece->s = s;
        piece->end = end;
    }
    *at = end;
    return true;
}

int
markup_number(const MarkupPiece *tag, const char *attribute, int other, int least, int most)
{
    int n = strlen(attribute), value = 0;

    for (const char *s = tag->s; s + n < tag->end; s++)
    {
        if (pg_strncasecmp(s, attribute, n) != 0 || isalnum((unsigned char)s[-1]))
            continue;
        for (s += n; s < tag->end && strchr(" =\"'", *s); s++)
            ;
        if (s == tag->end || !isdigit((unsigned char)*s))
            return other;
        for (; s < tag->end && isdigit((unsigned char)*s) && value <= most; s++)
            value = value * 10 + (*s - '0');
        return Max(least, Min(most, value));
    }
    return other;
}

/* ---- entities ---- */

static const struct
{
    const char *name;
    uint32 code;
} entities[] = {/* those that the engine knows (layout_plain.c), and a hyphen */
                {"amp", '&'},      {"lt", '<'},       {"gt", '>'},       {"quot", '"'},
                {"apos", '\''},    {"nbsp", 0xa0},    {"shy", 0xad},     {"deg", 0xb0},
                {"plusmn", 0xb1},  {"micro", 0xb5},   {"middot", 0xb7},  {"frac12", 0xbd},
                {"times", 0xd7},   {"divide", 0xf7},  {"copy", 0xa9},    {"reg", 0xae},
                {"sect", 0xa7},    {"para", 0xb6},    {"pound", 0xa3},   {"euro", 0x20ac},
                {"yen", 0xa5},     {"cent", 0xa2},    {"laquo", 0xab},   {"raquo", 0xbb},
                {"ndash", 0x2013}, {"mdash", 0x2014}, {"lsquo", 0x2018}, {"rsquo", 0x2019},
                {"ldquo", 0x201c}, {"rdquo", 0x201d}, {"bull", 0x2022},  {"hellip", 0x2026},
                {"minus", 0x2212}, {"le", 0x2264},    {"ge", 0x2265},    {"ne", 0x2260},
                {"rarr", 0x2192},  {"larr", 0x2190},  {"trade", 0x2122}};

/* The character of the n bytes between & and ;, or 0. */
static uint32
entity(const char *s, int n)
{
    uint32 code = 0;
    bool hex = n > 2 && (s[1] == 'x' || s[1] == 'X');

    for (int i = 0; i < lengthof(entities); i++)
        if ((int)strlen(entities[i].name) == n && strncmp(s, entities[i].name, n) == 0)
            return entities[i].code;
    if (n < 2 || s[0] != '#')
        return 0;
    for (int i = hex ? 2 : 1; i < n; i++)
    {
        const char *digits = "0123456789abcdef",
                   *d = strchr(digits, pg_tolower((unsigned char)s[i]));

        if (d == NULL || d - digits >= (hex ? 16 : 10) || code > 0x10ffff)
            return 0;
        code = code * (hex ? 16 : 10) + (d - digits);
    }
    return code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) ? code : 0;
}

/* False: the database's encoding has no such character. */
static bool
put_code(StringInfo to, uint32 code)
{
    unsigned char utf8[8] = {0};
    char *text;

    if (code < 0x80 || GetDatabaseEncoding() == PG_UTF8)
    {
        unicode_to_utf8(code, utf8);
        appendBinaryStringInfo(to, (char *)utf8, pg_utf_mblen(utf8));
        return true;
    }
    if (code > 0xff || GetDatabaseEncoding() != PG_LATIN1)
        return false;
    text = psprintf("%c", (int)code);
    appendStringInfoString(to, text);
    return true;
}

void
markup_text(StringInfo to, const char *s, const char *end)
{
    for (; s < end; s++)
    {
        const char *stop = *s == '&' ? memchr(s, ';', Min(end - s, 12)) : NULL;
        uint32 code = stop ? entity(s + 1, (int)(stop - s - 1)) : 0;

        if (code && put_code(to, code))
            s = stop;
        else
            appendStringInfoChar(to, *s);
    }
}

/* ---- plain text ---- */

bool
markup_one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

static void
put_break(StringInfo to, const MarkupPiece *tag)
{
    static const char *const lines[] = {"br",    "tr", "p",  "div", "li",
                                        "table", "h1", "h2", "h3",  NULL};
    static const char *const cells[] = {"td", "th", NULL};

    if (tag->closing && markup_one_of(tag->name, cells))
        appendStringInfoChar(to, '\t');
    else if ((tag->closing || strcmp(tag->name, "br") == 0) && markup_one_of(tag->name, lines))
    {
        while (to->len > 0 && to->data[to->len - 1] == '\t')
            to->data[--to->len] = '\0';
        if (to->len > 0 && to->data[to->len - 1] != '\n')
            appendStringInfoChar(to, '\n');
    }
}

char *
markup_plain(const char *content)
{
    StringInfoData s;
    MarkupPiece piece;

    initStringInfo(&s);
    while (*content == '#')
        content++;
    while (*content == ' ')
        content++;
    while (markup_next(&content, &piece))
        if (piece.tag)
            put_break(&s, &piece);
        else
            markup_text(&s, piece.s, piece.end);
    while (s.len > 0 && isspace((unsigned char)s.data[s.len - 1]))
        s.data[--s.len] = '\0';
    return s.data;
}

/* ---- escaping ---- */

void
markup_escape(StringInfo to, const char *s, int n)
{
    for (int i = 0; i < n; i++)
    {
        unsigned char c = s[i];

        if (c == '&')
            appendStringInfoString(to, "&amp;");
        else if (c == '<')
            appendStringInfoString(to, "&lt;");
        else if (c == '>')
            appendStringInfoString(to, "&gt;");
        else if (c == '"')
            appendStringInfoString(to, "&quot;");
        else if (c == '\'')
            appendStringInfoString(to, "&#39;");
        else if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f)
            appendStringInfoChar(to, ' ');
        else if (c == 0xef && GetDatabaseEncoding() == PG_UTF8 && i + 2 < n &&
                 (unsigned char)s[i + 1] == 0xbf &&
                 (unsigned char)s[i + 2] >= 0xbe) /* U+FFFE and U+FFFF */
        {
            appendStringInfoChar(to, ' ');
            i += 2;
        }
        else
            appendStringInfoChar(to, c);
    }
}
