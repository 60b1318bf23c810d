/* image.c - stage 1 of 7: bytes -> pixels. Tells formats apart, holds the limits.
 *
 * The order is always: magic number, header, limits, memory, pixels, upright. Every number of a header
 * is judged here, once, before anything is allocated for it; the format files only fetch it. */
#include "image_formats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const ImageLimits image_default_limits = {
    .max_bytes = 64u << 20,
    .max_pixels = 64000000,
    .max_side = 20000,
    .min_side = 16,
    .max_pages = 500,
};

/* ---- formats ---- */

typedef struct Magic
{
    ImageFormat format;
    size_t at, n;
    const char *bytes;
    const char *name;
} Magic;

/* IMAGE_UNKNOWN here: known by sight only, and refused by name. */
static const Magic magics[] = {
    {IMAGE_PNG, 0, 8, "\211PNG\r\n\032\n", "png"},
    {IMAGE_JPEG, 0, 3, "\377\330\377", "jpeg"},
    {IMAGE_TIFF, 0, 4, "II*\0", "tiff"},
    {IMAGE_TIFF, 0, 4, "MM\0*", "tiff"},
    {IMAGE_TIFF, 0, 4, "II+\0", "tiff"},
    {IMAGE_TIFF, 0, 4, "MM\0+", "tiff"},
    {IMAGE_WEBP, 8, 4, "WEBP", "webp"},
    {IMAGE_PDF, 0, 5, "%PDF-", "pdf"},
    {IMAGE_UNKNOWN, 0, 12, "\0\0\0\014jP  \r\n\207\n", "JPEG 2000"},
    {IMAGE_UNKNOWN, 0, 4, "\377\117\377\121", "JPEG 2000"},
    {IMAGE_UNKNOWN, 0, 12, "\0\0\0\014JXL \r\n\207\n", "JPEG XL"},
    {IMAGE_UNKNOWN, 4, 8, "ftypheic", "HEIC"},
    {IMAGE_UNKNOWN, 4, 8, "ftypheix", "HEIC"},
    {IMAGE_UNKNOWN, 4, 8, "ftypmif1", "HEIF"},
    {IMAGE_UNKNOWN, 4, 8, "ftypavif", "AVIF"},
    {IMAGE_UNKNOWN, 0, 4, "GIF8", "GIF"},
    {IMAGE_UNKNOWN, 0, 2, "BM", "BMP"},
    {IMAGE_UNKNOWN, 0, 8, "\227JB2\r\n\032\n", "JBIG2"},
    {IMAGE_UNKNOWN, 0, 8, "AT&TFORM", "DjVu"},
};

static const Magic *
find_magic(const uint8_t *blob, size_t n)
{
    for (size_t i = 0; i < sizeof magics / sizeof *magics; i++)
    {
        const Magic *m = &magics[i];

        if (n >= m->at + m->n && memcmp(blob + m->at, m->bytes, m->n) == 0)
            if (m->format != IMAGE_WEBP || memcmp(blob, "RIFF", 4) == 0)
                return m;
    }
    return NULL;
}

ImageFormat
image_format(const uint8_t *blob, size_t n)
{
    const Magic *m = find_magic(blob, n);

    return m ? m->format : IMAGE_UNKNOWN;
}

const char *
image_format_name(ImageFormat f)
{
    for (size_t i = 0; i < sizeof magics / sizeof *magics; i++)
        if (magics[i].format == f && f != IMAGE_UNKNOWN)
            return magics[i].name;
    return "unknown";
}

/* ---- what can be wrong ---- */

DsStatus
image_truncated(DsError *err, const char *format, size_t n)
{
    ds_fail(err, DS_BAD_INPUT, "%s image is truncated", format);
    ds_detail(err, "It ends after %zu bytes, in the middle of the data.", n);
    return ds_hint(err, "Check that the whole file was stored.");
}

DsStatus
image_damaged(DsError *err, const char *format, const char *text)
{
    char clean[192];

    snprintf(clean, sizeof clean, "%s", text ? text : "");
    for (char *p = clean; *p; p++)
        if (*p < ' ' || *p > '~')
            *p = '?';
    ds_fail(err, DS_BAD_INPUT, "%s image is damaged", format);
    ds_detail(err, clean[0] ? "The decoder says: %s." : "The decoder does not say why.", clean);
    return ds_hint(err, "Check that the file opens in an image viewer.");
}

static DsStatus
not_an_image(const uint8_t *blob, size_t n, const Magic *m, DsError *err)
{
    char first[3 * 8 + 1] = "";

    if (m)
    {
        ds_fail(err, DS_UNSUPPORTED, "%s is not supported",
                m->format == IMAGE_PDF ? "PDF" : m->name);
        ds_detail(err, "The document has %zu bytes.", n);
        return ds_hint(err, "Convert the pages to PNG, JPEG, TIFF or WebP.");
    }
    for (size_t i = 0; i < n && i < 8; i++)
        snprintf(first + i * 3, 4, i ? " %02x" : "%02x", blob[i]);
    ds_fail(err, DS_BAD_INPUT, "not an image");
    ds_detail(err, "The document has %zu bytes and starts with %s.", n, first);
    return ds_hint(err, "PNG, JPEG, TIFF and WebP images can be read.");
}

static DsStatus
check_blob(const uint8_t *blob, size_t n, const ImageLimits *limits, ImageFormat *format,
           DsError *err)
{
    const Magic *m;

    if (n == 0)
    {
        ds_fail(err, DS_BAD_INPUT, "document is empty");
        return ds_hint(err, "PNG, JPEG, TIFF and WebP images can be read.");
    }
    if (n > limits->max_bytes)
    {
        ds_fail(err, DS_LIMIT, "document has %zu bytes", n);
        ds_detail(err, "dsocr.max_image_bytes is %llu.", (unsigned long long)limits->max_bytes);
        return ds_hint(err, "Compress the image or raise dsocr.max_image_bytes.");
    }
    m = find_magic(blob, n);
    if (m == NULL || m->format == IMAGE_UNKNOWN || m->format == IMAGE_PDF)
        return not_an_image(blob, n, m, err);
    *format = m->format;
    return DS_OK;
}

static DsStatus
check_size(const RawPage *page, const ImageLimits *limits, DsError *err)
{
    uint64_t pixels = (uint64_t)page->width * page->height;
    uint32_t longer = page->width > page->height ? page->width : page->height;
    uint32_t shorter = page->width > page->height ? page->height : page->width;

    if (shorter == 0)
        return ds_fail(err, DS_BAD_INPUT, "image has no pixels");
    if (limits->max_side < 0 || longer > (uint32_t)limits->max_side)
    {
        ds_fail(err, DS_LIMIT, "image is %u x %u pixels", page->width, page->height);
        ds_detail(err, "dsocr.max_side is %d.", limits->max_side);
        return ds_hint(err, "Scale the image down or raise dsocr.max_side.");
    }
    if (pixels > limits->max_pixels)
    {
        ds_fail(err, DS_LIMIT, "image has %llu megapixels", (unsigned long long)(pixels / 1000000));
        ds_detail(err, "dsocr.max_pixels is %llu.", (unsigned long long)limits->max_pixels);
        return ds_hint(err, "Scale the image down or raise dsocr.max_pixels.");
    }
    if (limits->min_side > 0 && shorter < (uint32_t)limits->min_side)
    {
        ds_fail(err, DS_LIMIT, "image is %u x %u pixels", page->width, page->height);
        ds_detail(err, "dsocr.min_side is %d.", limits->min_side);
        return ds_hint(err, "Scan at a higher resolution or lower dsocr.min_side.");
    }
    return DS_OK;
}

/* ---- colours ---- */

static inline int
muldiv255(int a, int b)
{
    int t = a * b + 128;

    return ((t >> 8) + t) >> 8;
}

void
cmyk_to_rgb(const uint8_t *cmyk, uint8_t *rgb, size_t n)
{
    for (size_t i = 0; i < n; i++, cmyk += 4, rgb += 3)
    {
        int light = 255 - cmyk[3];

        for (int c = 0; c < 3; c++)
        {
            int value = light - muldiv255(cmyk[c], light);

            rgb[c] = (uint8_t)(value < 0 ? 0 : value);
        }
    }
}

/* ---- square pixels ---- */

#define MOST_STRETCH 4 /* a file that says more than this is wrong rather than flat */

static uint32_t
stretched(uint32_t side, int dpi, int best)
{
    uint64_t longer = ((uint64_t)side * (uint64_t)best + (uint64_t)dpi / 2) / (uint64_t)dpi;

    return longer > UINT32_MAX ? UINT32_MAX : (uint32_t)longer;
}

/* The page as it will be: a fax has half as many rows as it has columns, or twice. A difference below 1 % is
 * a rounded number. Never shrinks, so limits that hold here hold for what is stored, too. */
static RawPage
squared(const RawPage *raw)
{
    RawPage page = *raw;
    int best = raw->dpi > raw->dpi_down ? raw->dpi : raw->dpi_down;
    int least = raw->dpi > raw->dpi_down ? raw->dpi_down : raw->dpi;

    if (least <= 0 || best > least * MOST_STRETCH || (best - least) * 100 < best)
        return page;
    page.dpi = best;
    page.width = stretched(raw->width, raw->dpi, best);
    page.height = stretched(raw->height, raw->dpi_down, best);
    return page;
}

/* Place i of n on a line of `stored`: the two samples between which it lies, and the second's share of 256. */
static int
between(uint32_t i, uint32_t n, uint32_t stored, uint32_t at[2])
{
    int64_t place = (2 * (int64_t)i + 1) * stored - n, unit = 2 * (int64_t)n;

    if (place < 0)
        place = 0;
    at[0] = (uint32_t)(place / unit);
    at[1] = at[0] + 1 < stored ? at[0] + 1 : at[0];
    return (int)(place % unit * 256 / unit);
}

/* a, b: [n]; share: of b. */
static void
mix(const uint8_t *a, const uint8_t *b, size_t n, int share, uint8_t *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)((a[i] * (256 - share) + b[i] * share + 128) >> 8);
}

/* in: [from.height, from.width, channels]; out: [to.height, to.width, channels]. One side is longer, the other
 * the same. */
static void
stretch_pixels(const uint8_t *in, const RawPage *from, const RawPage *to, uint8_t *out)
{
    size_t c = (size_t)to->channels, row = from->width * c;
    uint32_t at[2];

    if (to->width == from->width)
        for (uint32_t y = 0; y < to->height; y++, out += row)
        {
            int share = between(y, to->height, from->height, at);

            mix(in + at[0] * row, in + at[1] * row, row, share, out);
        }
    else
        for (uint32_t y = 0; y < to->height; y++, in += row)
            for (uint32_t x = 0; x < to->width; x++, out += c)
            {
                int share = between(x, to->width, from->width, at);

                mix(in + at[0] * c, in + at[1] * c, c, share, out);
            }
}

/* ---- turning ---- */

static bool
swaps_sides(int orientation)
{
    return orientation >= 5 && orientation <= 8;
}

/* Where pixel (0, 0) goes and how far a step right and a step down carry, in pixels of the upright image. */
typedef struct Turn
{
    ptrdiff_t start, right, down;
} Turn;

static Turn
turn_of(int orientation, ptrdiff_t w, ptrdiff_t h)
{
    switch (orientation)
    {
        case 2: /* mirror left-right */
            return (Turn){w - 1, -1, w};
        case 3: /* half a turn */
            return (Turn){w * h - 1, -1, -w};
        case 4: /* mirror top-bottom */
            return (Turn){(h - 1) * w, 1, -w};
        case 5: /* transpose */
            return (Turn){0, h, 1};
        case 6: /* a quarter clockwise */
            return (Turn){h - 1, h, -1};
        case 7: /* transverse */
            return (Turn){w * h - 1, -h, -1};
        case 8: /* a quarter counter-clockwise */
            return (Turn){(w - 1) * h, -h, 1};
        default:
            return (Turn){0, 1, w};
    }
}

#define SQUARE 32 /* pixels: rows and columns of a square stay in the cache together */

/* in: [h, w, channels] as stored; out: upright. */
static void
turn_pixels(const uint8_t *in, int w, int h, int channels, int orientation, uint8_t *out)
{
    Turn t = turn_of(orientation, w, h);

    for (int y0 = 0; y0 < h; y0 += SQUARE)
        for (int x0 = 0; x0 < w; x0 += SQUARE)
            for (int y = y0; y < h && y < y0 + SQUARE; y++)
            {
                const uint8_t *from = in + ((ptrdiff_t)y * w + x0) * channels;
                uint8_t *to = out + (t.start + y * t.down + x0 * t.right) * channels;

                for (int x = x0; x < w && x < x0 + SQUARE; x++, to += t.right * channels)
                    for (int c = 0; c < channels; c++)
                        to[c] = *from++;
            }
}

DsStatus
image_rotate(const Image *in, int degrees, Arena *arena, Image *out, DsError *err)
{
    static const int orientations[4] = {1, 6, 3, 8};
    int orientation;

    if (degrees < 0 || degrees >= 360 || degrees % 90)
        return ds_fail(err, DS_BAD_REQUEST, "cannot turn an image by %d degrees", degrees);
    orientation = orientations[degrees / 90];
    *out = *in;
    if (swaps_sides(orientation))
    {
        out->width = in->height;
        out->height = in->width;
    }
    out->pixels = arena_alloc(arena, (size_t)in->width * in->height * in->channels);
    if (out->pixels == NULL)
        return ds_fail(err, DS_LIMIT, "out of memory to turn a page of %d x %d pixels", in->width,
                       in->height);
    turn_pixels(in->pixels, in->width, in->height, in->channels, orientation, out->pixels);
    return DS_OK;
}

/* ---- headers ---- */

static DsStatus
single_header(ImageFormat format, Blob blob, RawPage *page, DsError *err)
{
    switch (format)
    {
        case IMAGE_PNG:
            return png_file_header(blob, page, err);
        case IMAGE_JPEG:
            return jpeg_file_header(blob, page, err);
        default:
            return webp_file_header(blob, page, err);
    }
}

static void
note_page(ImagePage *to, const RawPage *raw, DsStatus st, const DsError *err)
{
    bool swap = swaps_sides(raw->orientation);
    bool fits = raw->width <= INT32_MAX && raw->height <= INT32_MAX;

    *to = (ImagePage){
        .status = st, .channels = raw->channels, .dpi = raw->dpi, .orientation = raw->orientation};
    if (fits)
    {
        to->width = (int)(swap ? raw->height : raw->width);
        to->height = (int)(swap ? raw->width : raw->height);
    }
    if (st)
        snprintf(to->message, sizeof to->message, "%.127s", err->message);
}

static DsStatus
too_many_pages(const ImageLimits *limits, DsError *err)
{
    ds_fail(err, DS_LIMIT, "document has more than %d pages", limits->max_pages);
    ds_detail(err, "dsocr.max_pages is %d.", limits->max_pages);
    return ds_hint(err, "Split the document or raise dsocr.max_pages.");
}

static DsStatus
grow_pages(Arena *arena, ImageInfo *info, int *room, DsError *err)
{
    int more = *room ? *room * 2 : 8;
    ImagePage *pages = arena_array(arena, (size_t)more, sizeof *pages);

    if (pages == NULL)
        return ds_fail(err, DS_LIMIT, "out of memory for %d pages", more);
    if (info->page_count)
        memcpy(pages, info->pages, (size_t)info->page_count * sizeof *pages);
    info->pages = pages;
    *room = more;
    return DS_OK;
}

/* One page per directory; where the chain breaks, one page that says so. `last` keeps the whole error of
 * the newest bad page, for the case that it is the only one. */
static DsStatus
walk_tiff(TiffFile *tiff, const ImageLimits *limits, Arena *arena, ImageInfo *info, DsError *last,
          DsError *err)
{
    int room = 0, more = 1;
    DsStatus st;

    do
    {
        RawPage raw = {.orientation = 1, .channels = 1};

        if (info->page_count >= limits->max_pages)
            return too_many_pages(limits, err);
        if (info->page_count == room && (st = grow_pages(arena, info, &room, err)))
            return st;
        if (more < 0)
            st = ds_fail(last, DS_BAD_INPUT, "TIFF pages after page %d cannot be found",
                         info->page_count);
        else
        {
            st = tiff_file_header(tiff, &raw, last);
            raw = squared(&raw);
            if (st == DS_OK)
                st = check_size(&raw, limits, last);
        }
        note_page(&info->pages[info->page_count++], &raw, st, last);
    } while (more > 0 && (more = tiff_file_next(tiff)));
    return DS_OK;
}

static DsStatus
tiff_info(Blob blob, const ImageLimits *limits, Arena *arena, ImageInfo *info, DsError *err)
{
    TiffFile *tiff;
    DsError last = {0};
    DsStatus st = tiff_file_open(blob, limits, &tiff, err);

    if (st)
        return st;
    st = walk_tiff(tiff, limits, arena, info, &last, err);
    tiff_file_close(tiff);
    if (st == DS_OK && info->page_count == 1 && (st = info->pages[0].status) && err)
        *err = last;
    return st;
}

DsStatus
image_info(const uint8_t *blob, size_t n, const ImageLimits *limits, Arena *arena, ImageInfo *info,
           DsError *err)
{
    Blob b = {blob, n};
    RawPage raw;
    DsStatus st;
    int room = 0;

    *info = (ImageInfo){0};
    if ((st = check_blob(blob, n, limits, &info->format, err)))
        return st;
    if (info->format == IMAGE_TIFF)
        return tiff_info(b, limits, arena, info, err);
    if ((st = single_header(info->format, b, &raw, err)) || (st = check_size(&raw, limits, err)) ||
        (st = grow_pages(arena, info, &room, err)))
        return st;
    note_page(&info->pages[0], &raw, DS_OK, NULL);
    info->page_count = 1;
    return DS_OK;
}

/* ---- pixels ---- */

typedef struct Source
{
    ImageFormat format;
    Blob blob;
    TiffFile *tiff; /* at the page, for TIFF */
} Source;

static DsStatus
source_pixels(const Source *s, const RawPage *page, uint8_t *pixels, DsError *err)
{
    switch (s->format)
    {
        case IMAGE_PNG:
            return png_file_pixels(s->blob, page, pixels, err);
        case IMAGE_JPEG:
            return jpeg_file_pixels(s->blob, page, pixels, err);
        case IMAGE_TIFF:
            return tiff_file_pixels(s->tiff, page, pixels, err);
        default:
            return webp_file_pixels(s->blob, page, pixels, err);
    }
}

static DsStatus
no_such_page(int page, int count, DsError *err)
{
    ds_fail(err, DS_BAD_REQUEST, "page %d does not exist", page + 1);
    return ds_detail(err, count == 1 ? "The document has %d page." : "The document has %d pages.",
                     count);
}

static DsStatus
open_source(Source *s, int page, const ImageLimits *limits, RawPage *raw, DsError *err)
{
    DsStatus st;

    if (s->format != IMAGE_TIFF)
        return page == 0 ? single_header(s->format, s->blob, raw, err) : no_such_page(page, 1, err);
    if ((st = tiff_file_open(s->blob, limits, &s->tiff, err)))
        return st;
    for (int i = 0; i < page; i++)
    {
        int more = i < limits->max_pages ? tiff_file_next(s->tiff) : 0;

        if (more < 0)
            return ds_fail(err, DS_BAD_INPUT, "TIFF pages after page %d cannot be found", i + 1);
        if (more == 0)
            return no_such_page(page, i + 1, err);
    }
    return tiff_file_header(s->tiff, raw, err);
}

static DsStatus
no_room(const RawPage *raw, DsError *err)
{
    return ds_fail(err, DS_LIMIT, "out of memory for an image of %u x %u pixels", raw->width,
                   raw->height);
}

/* The pixels as stored, but square. page: what squared() makes of raw. */
static DsStatus
decode_square(const Source *s, const RawPage *raw, const RawPage *page, uint8_t *pixels,
              DsError *err)
{
    uint8_t *stored;
    DsStatus st;

    if (raw->width == page->width && raw->height == page->height)
        return source_pixels(s, raw, pixels, err);
    if ((stored = malloc((size_t)raw->width * raw->height * (size_t)raw->channels)) == NULL)
        return no_room(raw, err);
    if ((st = source_pixels(s, raw, stored, err)) == DS_OK)
        stretch_pixels(stored, raw, page, pixels);
    free(stored);
    return st;
}

static DsStatus
decode_upright(const Source *s, const RawPage *raw, const RawPage *page, uint8_t *pixels,
               size_t bytes, DsError *err)
{
    uint8_t *lying;
    DsStatus st;

    if (page->orientation == 1)
        return decode_square(s, raw, page, pixels, err);
    if ((lying = malloc(bytes)) == NULL)
        return no_room(page, err);
    if ((st = decode_square(s, raw, page, lying, err)) == DS_OK)
        turn_pixels(lying, (int)page->width, (int)page->height, page->channels, page->orientation,
                    pixels);
    free(lying);
    return st;
}

static DsStatus
decode_page(Source *s, int number, const ImageLimits *limits, uint8_t *pixels, size_t capacity,
            Image *image, DsError *err)
{
    RawPage raw, page;
    uint64_t bytes;
    DsStatus st;
    bool swap;

    if ((st = open_source(s, number, limits, &raw, err)))
        return st;
    page = squared(&raw);
    if ((st = check_size(&page, limits, err)))
        return st;
    if (ds_mul(&bytes, page.width, page.height) || ds_mul(&bytes, bytes, (uint64_t)page.channels) ||
        bytes > capacity)
        return ds_fail(err, DS_LIMIT,
                       "image of %u x %u pixels does not fit the memory set aside for it",
                       page.width, page.height);
    swap = swaps_sides(page.orientation);
    *image = (Image){
        .width = (int)(swap ? page.height : page.width),
        .height = (int)(swap ? page.width : page.height),
        .channels = page.channels,
        .dpi = page.dpi,
        .pixels = pixels,
    };
    return decode_upright(s, &raw, &page, pixels, bytes, err);
}

DsStatus
image_decode(const uint8_t *blob, size_t n, int page, const ImageLimits *limits, uint8_t *pixels,
             size_t capacity, Image *image, DsError *err)
{
    Source s = {.blob = {blob, n}};
    DsStatus st;

    if (page < 0)
        return ds_fail(err, DS_BAD_REQUEST, "page %d does not exist", page + 1);
    if ((st = check_blob(blob, n, limits, &s.format, err)))
        return st;
    st = decode_page(&s, page, limits, pixels, capacity, image, err);
    if (s.tiff)
        tiff_file_close(s.tiff);
    return st;
}
