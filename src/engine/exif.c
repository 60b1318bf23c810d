/* exif.c - which way up the camera or scanner says the picture is.
 *
 * An EXIF block is a TIFF without pixels. Two of its entries matter here, both in the first directory, so
 * this is a bounded walk over at most 65535 entries of 12 bytes and not a library. Every read is inside
 * [p, p + n); whatever does not fit is ignored, as the reference does (spec 3.1). */
#include "image_formats.h"

typedef struct Exif
{
    const uint8_t *p; /* [n] */
    size_t n;
    bool big; /* most significant byte first */
} Exif;

enum
{
    TAG_ORIENTATION = 0x0112,
    TAG_X_RESOLUTION = 0x011A,
    TAG_RESOLUTION_UNIT = 0x0128,
    TYPE_SHORT = 3,
    TYPE_LONG = 4,
    TYPE_RATIONAL = 5
};

static uint32_t
u16(const Exif *e, size_t at)
{
    if (e->n < 2 || at > e->n - 2)
        return 0;
    return e->big ? (uint32_t)e->p[at] << 8 | e->p[at + 1] : (uint32_t)e->p[at + 1] << 8 | e->p[at];
}

static uint32_t
u32(const Exif *e, size_t at)
{
    if (e->n < 4 || at > e->n - 4)
        return 0;
    return e->big ? u16(e, at) << 16 | u16(e, at + 2) : u16(e, at + 2) << 16 | u16(e, at);
}

static uint32_t
whole_number(const Exif *e, size_t entry)
{
    switch (u16(e, entry + 2))
    {
        case TYPE_SHORT:
            return u16(e, entry + 8);
        case TYPE_LONG:
            return u32(e, entry + 8);
        default:
            return 0;
    }
}

static double
fraction(const Exif *e, size_t entry)
{
    size_t at = u32(e, entry + 8);
    uint32_t under = u32(e, at + 4);

    return u16(e, entry + 2) == TYPE_RATIONAL && under ? (double)u32(e, at) / under : 0;
}

int
dpi_of(double per_inch)
{
    return per_inch >= 1 && per_inch <= 10000 ? (int)(per_inch + 0.5) : 0;
}

void
exif_read(const uint8_t *p, size_t n, int *orientation, int *dpi)
{
    Exif e = {p, n, false};
    size_t first;
    uint32_t entries, unit = 2, turn = 0;
    double resolution = 0;

    if (n < 8 || (p[0] != 'I' && p[0] != 'M') || p[1] != p[0])
        return;
    e.big = p[0] == 'M';
    first = u32(&e, 4);
    entries = u16(&e, first);
    for (uint32_t i = 0; i < entries; i++)
    {
        size_t entry = first + 2 + (size_t)i * 12;

        if (n < 12 || entry > n - 12)
            break;
        if (u16(&e, entry) == TAG_ORIENTATION)
            turn = whole_number(&e, entry);
        else if (u16(&e, entry) == TAG_X_RESOLUTION)
            resolution = fraction(&e, entry);
        else if (u16(&e, entry) == TAG_RESOLUTION_UNIT)
            unit = whole_number(&e, entry);
    }
    if (turn >= 1 && turn <= 8)
        *orientation = (int)turn;
    if (*dpi == 0 && (unit == 2 || unit == 3))
        *dpi = dpi_of(unit == 3 ? resolution * 2.54 : resolution);
}
