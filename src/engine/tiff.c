/* tiff.c - stage 1 of 7, TIFF: many pages, every way to store one, from memory, with libtiff.
 *
 * Samples are unpacked here rather than by libtiff's RGBA reader, which multiplies colours with alpha,
 * rounds 16 bits differently and needs four bytes for a bilevel pixel; only colour spaces that nobody
 * scans to (Lab, LogLuv, YCbCr outside JPEG) go through it. Each open file has its own error handlers, so
 * nothing is printed and threads do not meet. Sharp edges: a chain of pages may be broken in the middle;
 * min-is-white is common for faxes; associated alpha has been multiplied in and is divided out again. */
#include "image_formats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tiffio.h>

#define MAX_SAMPLES 8

struct TiffFile
{
    Blob blob;
    uint64_t pos;
    TIFF *tif;
    ImageLimits limits;
    bool truncated; /* libtiff wanted bytes from beyond the end */
    char text[192]; /* its first complaint */
};

typedef enum Ink
{
    INK_GREY,
    INK_RGB,
    INK_PALETTE,
    INK_CMYK,
    INK_OTHER, /* by libtiff's own conversion */
    INK_REFUSED
} Ink;

typedef struct Layout
{
    Ink ink;
    const char *refused; /* why, for INK_REFUSED */
    uint16_t bits;
    uint16_t samples; /* per pixel as stored, extra ones included */
    uint16_t colours; /* of them that are looked at */
    bool separate;    /* one plane per sample */
    bool inverted;    /* 0 is white */
    bool premultiplied;
    uint32_t block_w, block_h; /* a tile, or a strip */
    bool tiled;
    uint8_t palette[256][3];
} Layout;

/* ---- libtiff's view of the file ---- */

static tmsize_t
on_read(thandle_t handle, void *to, tmsize_t n)
{
    TiffFile *t = handle;
    uint64_t left = t->pos < t->blob.n ? t->blob.n - t->pos : 0;

    if (n < 0)
        return -1;
    if ((uint64_t)n > left)
    {
        t->truncated = true;
        n = (tmsize_t)left;
    }
    memcpy(to, t->blob.data + (left ? t->pos : 0), (size_t)n);
    t->pos += (uint64_t)n;
    return n;
}

static tmsize_t
on_write(thandle_t handle, void *from, tmsize_t n)
{
    (void)handle;
    (void)from;
    (void)n;
    return -1;
}

static toff_t
on_seek(thandle_t handle, toff_t to, int whence)
{
    TiffFile *t = handle;

    if (whence == SEEK_CUR)
        to += t->pos;
    else if (whence == SEEK_END)
        to += t->blob.n;
    return t->pos = to;
}

static int
on_close(thandle_t handle)
{
    (void)handle;
    return 0;
}

static toff_t
on_size(thandle_t handle)
{
    return ((TiffFile *)handle)->blob.n;
}

static int
on_error(TIFF *tif, void *handle, const char *module, const char *format, va_list args)
{
    TiffFile *t = handle;

    (void)tif;
    (void)module;
    if (t->text[0] == '\0')
        vsnprintf(t->text, sizeof t->text, format, args);
    return 1;
}

/* A JPEG strip that ends early is a warning to libtiff. */
static int
on_warning(TIFF *tif, void *handle, const char *module, const char *format, va_list args)
{
    char text[128];

    (void)tif;
    (void)module;
    vsnprintf(text, sizeof text, format, args);
    if (strstr(text, "remature end of JPEG") || strstr(text, "premature end of data segment"))
        ((TiffFile *)handle)->truncated = true;
    return 1;
}

/* ---- opening and walking ---- */

static DsStatus
unreadable(TiffFile *t, DsError *err)
{
    return t->truncated ? image_truncated(err, "TIFF", t->blob.n)
                        : image_damaged(err, "TIFF", t->text);
}

static bool
has_no_pages(Blob blob)
{
    bool big = blob.data[0] == 'M';
    bool long_form = blob.data[big ? 3 : 2] == 43;
    size_t at = long_form ? 8 : 4, size = long_form ? 8 : 4;

    for (size_t i = 0; i < size; i++)
        if (at + i >= blob.n || blob.data[at + i])
            return false;
    return true;
}

static uint64_t
largest_piece(const ImageLimits *limits)
{
    return limits->max_pixels * 4 + (1 << 20);
}

DsStatus
tiff_file_open(Blob blob, const ImageLimits *limits, TiffFile **tiff, DsError *err)
{
    TIFFOpenOptions *options;
    TiffFile *t;

    if (has_no_pages(blob))
    {
        ds_fail(err, DS_BAD_INPUT, "TIFF has no pages");
        ds_detail(err, "Its header names no first page.");
        return ds_hint(err, "Check that the whole file was stored.");
    }
    if ((t = calloc(1, sizeof *t)) == NULL || (options = TIFFOpenOptionsAlloc()) == NULL)
    {
        free(t);
        return ds_fail(err, DS_LIMIT, "out of memory");
    }
    t->blob = blob;
    t->limits = *limits;
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, (tmsize_t)largest_piece(limits));
    TIFFOpenOptionsSetErrorHandlerExtR(options, on_error, t);
    TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, t);
    t->tif = TIFFClientOpenExt("image", "rm", t, on_read, on_write, on_seek, on_close, on_size,
                               NULL, NULL, options);
    TIFFOpenOptionsFree(options);
    if (t->tif == NULL)
    {
        unreadable(t, err);
        free(t);
        return DS_BAD_INPUT;
    }
    *tiff = t;
    return DS_OK;
}

void
tiff_file_close(TiffFile *t)
{
    TIFFClose(t->tif);
    free(t);
}

int
tiff_file_next(TiffFile *t)
{
    t->text[0] = '\0';
    t->truncated = false;
    if (TIFFLastDirectory(t->tif))
        return 0;
    return TIFFReadDirectory(t->tif) ? 1 : -1;
}

/* ---- how a page is stored ---- */

static int
resolution(TIFF *tif, uint32_t tag)
{
    float per_unit = 0;
    uint16_t unit;

    if (!TIFFGetField(tif, tag, &per_unit))
        return 0;
    TIFFGetFieldDefaulted(tif, TIFFTAG_RESOLUTIONUNIT, &unit);
    return unit == RESUNIT_NONE ? 0
                                : dpi_of(unit == RESUNIT_CENTIMETER ? per_unit * 2.54 : per_unit);
}

static Ink
refuse(Layout *l, const char *why)
{
    l->refused = why;
    return INK_REFUSED;
}

/* Colour maps hold 16 bits; some writers put 8 into them. */
static Ink
load_palette(TIFF *tif, Layout *l)
{
    uint16_t *map[3];
    int n = 1 << l->bits;
    uint16_t seen = 0;

    if (l->bits > 8)
        return refuse(l, "it has a palette of more than 256 colours");
    if (!TIFFGetField(tif, TIFFTAG_COLORMAP, &map[0], &map[1], &map[2]))
        return refuse(l, "its palette is missing");
    for (int i = 0; i < n * 3; i++)
        seen |= map[i % 3][i / 3];
    for (int i = 0; i < n * 3; i++)
        l->palette[i / 3][i % 3] =
            (uint8_t)(seen > 255 ? map[i % 3][i / 3] >> 8 : map[i % 3][i / 3]);
    return INK_PALETTE;
}

static Ink
ink_of(TIFF *tif, Layout *l, uint16_t photometric, uint16_t compression)
{
    switch (photometric)
    {
        case PHOTOMETRIC_MINISWHITE:
        case PHOTOMETRIC_MINISBLACK:
            l->inverted = photometric == PHOTOMETRIC_MINISWHITE;
            l->colours = 1;
            return INK_GREY;
        case PHOTOMETRIC_PALETTE:
            l->colours = 1;
            return load_palette(tif, l);
        case PHOTOMETRIC_SEPARATED:
            l->colours = 4;
            return l->samples < 4 ? refuse(l, "it has inks other than CMYK") : INK_CMYK;
        case PHOTOMETRIC_YCBCR:
            if (compression != COMPRESSION_JPEG || l->samples != 3 || l->separate || l->bits != 8)
                return INK_OTHER;
            TIFFSetField(tif, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
            l->colours = 3;
            return INK_RGB;
        case PHOTOMETRIC_RGB:
            l->colours = 3;
            return l->samples < 3 ? refuse(l, "it says RGB and has fewer than three colours")
                                  : INK_RGB;
        default:
            return INK_OTHER;
    }
}

static void
read_blocks(TIFF *tif, Layout *l, uint32_t width, uint32_t height)
{
    l->tiled = TIFFIsTiled(tif);
    l->block_w = width;
    if (l->tiled)
    {
        TIFFGetField(tif, TIFFTAG_TILEWIDTH, &l->block_w);
        TIFFGetField(tif, TIFFTAG_TILELENGTH, &l->block_h);
        return;
    }
    TIFFGetFieldDefaulted(tif, TIFFTAG_ROWSPERSTRIP, &l->block_h);
    if (l->block_h > height)
        l->block_h = height;
}

static Ink
check_samples(TIFF *tif, Layout *l, uint16_t format)
{
    char why[1024];

    if (format != SAMPLEFORMAT_UINT && format != SAMPLEFORMAT_VOID)
        return refuse(l, "its samples are not whole numbers without sign");
    if (l->bits < 1 || l->bits > 16)
        return refuse(l, "it has more than 16 bits per sample");
    if (l->samples < 1 || l->samples > MAX_SAMPLES)
        return refuse(l, "it has more than 8 samples per pixel");
    if (l->ink == INK_OTHER && !TIFFRGBAImageOK(tif, why))
        return refuse(l, "its colour space is unknown");
    return l->ink;
}

static Layout
layout_of(TIFF *tif, uint32_t width, uint32_t height)
{
    Layout l = {0};
    uint16_t photometric, planar, compression, format, extra = 0;
    uint16_t *kinds = NULL;

    TIFFGetFieldDefaulted(tif, TIFFTAG_BITSPERSAMPLE, &l.bits);
    TIFFGetFieldDefaulted(tif, TIFFTAG_SAMPLESPERPIXEL, &l.samples);
    TIFFGetFieldDefaulted(tif, TIFFTAG_PLANARCONFIG, &planar);
    TIFFGetFieldDefaulted(tif, TIFFTAG_COMPRESSION, &compression);
    TIFFGetFieldDefaulted(tif, TIFFTAG_SAMPLEFORMAT, &format);
    if (!TIFFGetField(tif, TIFFTAG_PHOTOMETRIC, &photometric)) /* old faxes leave it out */
        photometric = l.samples >= 3 ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISWHITE;
    l.separate = planar == PLANARCONFIG_SEPARATE && l.samples > 1;
    l.ink = ink_of(tif, &l, photometric, compression);
    if (l.ink != INK_REFUSED)
        l.ink = check_samples(tif, &l, format);
    if (TIFFGetField(tif, TIFFTAG_EXTRASAMPLES, &extra, &kinds) && extra == 1)
        l.premultiplied =
            kinds[0] == EXTRASAMPLE_ASSOCALPHA && l.ink == INK_RGB && l.samples == 4 && l.bits == 8;
    if (l.premultiplied)
        l.colours = 4;
    read_blocks(tif, &l, width, height);
    if (l.ink != INK_REFUSED && !TIFFIsCODECConfigured(compression))
        l.ink = refuse(&l, "its compression is not built into libtiff");
    return l;
}

DsStatus
tiff_file_header(TiffFile *t, RawPage *page, DsError *err)
{
    uint32_t width = 0, height = 0;
    uint16_t orientation = 1;
    Layout l;

    TIFFGetField(t->tif, TIFFTAG_IMAGEWIDTH, &width);
    TIFFGetField(t->tif, TIFFTAG_IMAGELENGTH, &height);
    TIFFGetFieldDefaulted(t->tif, TIFFTAG_ORIENTATION, &orientation);
    l = layout_of(t->tif, width, height);
    *page = (RawPage){.width = width,
                      .height = height,
                      .channels = l.ink == INK_GREY ? 1 : 3,
                      .dpi = resolution(t->tif, TIFFTAG_XRESOLUTION),
                      .dpi_down = resolution(t->tif, TIFFTAG_YRESOLUTION),
                      .orientation = 1};
    if (orientation >= 1 && orientation <= 8)
        page->orientation = orientation;
    if (l.ink == INK_REFUSED)
    {
        ds_fail(err, DS_UNSUPPORTED, "TIFF page cannot be read: %s", l.refused);
        return ds_hint(err, "Convert it to 8 bits per sample, grey or RGB.");
    }
    return DS_OK;
}

/* ---- samples to pixels ---- */

/* Bits of any width, most significant first, to a byte per sample. scaled: full range; else as they are. */
static void
unpack_bits(const uint8_t *in, size_t n, int bits, bool scaled, uint8_t *out)
{
    uint32_t held = 0, top = (1u << bits) - 1;
    int nheld = 0;

    for (size_t i = 0; i < n; i++)
    {
        uint32_t value;

        while (nheld < bits)
        {
            held = (held << 8 | *in++) & 0xffffff;
            nheld += 8;
        }
        nheld -= bits;
        value = held >> nheld & top;
        if (bits > 8)
            value >>= bits - 8;
        else if (scaled)
            value = value * 255 / top;
        out[i] = (uint8_t)value;
    }
}

/* The same for faxes and bilevel scans, of which there are many. one: what a set bit becomes. */
static void
unpack_1(const uint8_t *in, size_t n, int one, uint8_t *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)((in[i >> 3] >> (7 - (i & 7)) & 1) * one);
}

static void
unpack_16(const uint8_t *in, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i++)
    {
        uint16_t value;

        memcpy(&value, in + i * 2, 2); /* libtiff has put the bytes in this machine's order */
        out[i] = (uint8_t)(value >> 8);
    }
}

static void
unpack(const uint8_t *in, size_t n, const Layout *l, uint8_t *out)
{
    if (l->bits == 8)
        memcpy(out, in, n);
    else if (l->bits == 16)
        unpack_16(in, n, out);
    else if (l->bits == 1)
        unpack_1(in, n, l->ink == INK_PALETTE ? 1 : 255, out);
    else
        unpack_bits(in, n, l->bits, l->ink != INK_PALETTE, out);
}

static void
put_premultiplied(const uint8_t *in, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i++)
        for (int c = 0; c < 3; c++)
        {
            int alpha = in[i * 4 + 3];
            int value = alpha ? in[i * 4 + c] * 255 / alpha : 0;

            out[i * 3 + c] = (uint8_t)(value > 255 ? 255 : value);
        }
}

/* in: [n, colours] bytes, the first `colours` samples of each pixel. */
static void
put_pixels(const Layout *l, const uint8_t *in, size_t n, uint8_t *out)
{
    switch (l->ink)
    {
        case INK_GREY:
            for (size_t i = 0; i < n; i++)
                out[i] = l->inverted ? 255 - in[i] : in[i];
            break;
        case INK_PALETTE:
            for (size_t i = 0; i < n; i++)
                memcpy(out + i * 3, l->palette[in[i]], 3);
            break;
        case INK_CMYK:
            cmyk_to_rgb(in, out, n);
            break;
        default:
            if (l->premultiplied)
                put_premultiplied(in, n, out);
            else
                memcpy(out, in, n * 3);
    }
}

/* ---- blocks: strips and tiles, one plane or several ---- */

typedef struct Work
{
    TiffFile *t;
    const RawPage *page;
    Layout l;
    size_t plane_bytes, row_bytes; /* of one block of one plane */
    int planes;                    /* buffers per block: 1, or one per colour */
    uint8_t *planes_at;            /* [planes, plane_bytes] */
    uint8_t *unpacked;             /* [block_w, samples] */
    uint8_t *wanted;               /* [block_w, colours] */
    uint8_t *pixels;
} Work;

static bool
read_block(Work *w, uint32_t x, uint32_t y)
{
    uint32_t rows = w->page->height - y < w->l.block_h ? w->page->height - y : w->l.block_h;

    for (int p = 0; p < w->planes; p++)
    {
        uint8_t *to = w->planes_at + (size_t)p * w->plane_bytes;
        TIFF *tif = w->t->tif;
        tmsize_t got, need = (tmsize_t)(w->row_bytes * rows);

        if (w->l.tiled)
            got = TIFFReadEncodedTile(tif, TIFFComputeTile(tif, x, y, 0, (uint16_t)p), to,
                                      (tmsize_t)w->plane_bytes);
        else
            got = TIFFReadEncodedStrip(tif, TIFFComputeStrip(tif, y, (uint16_t)p), to, need);
        if (got < need || w->t->truncated)
            return false;
    }
    return true;
}

/* The first `colours` samples of n pixels, [n, colours], in w->wanted. */
static void
gather_row(Work *w, uint32_t row, size_t n)
{
    const uint8_t *at = w->planes_at + row * w->row_bytes;
    size_t stored = w->l.separate ? 1 : w->l.samples, colours = w->l.colours;

    if (stored == colours)
    {
        unpack(at, n * stored, &w->l, w->wanted);
        return;
    }
    for (int p = 0; p < w->planes; p++, at += w->plane_bytes)
    {
        size_t copied = w->l.separate ? 1 : colours;

        unpack(at, n * stored, &w->l, w->unpacked);
        for (size_t i = 0; i < n; i++)
            for (size_t c = 0; c < copied; c++)
                w->wanted[i * colours + p + c] = w->unpacked[i * stored + c];
    }
}

static void
put_block(Work *w, uint32_t x, uint32_t y)
{
    size_t across = w->page->width - x < w->l.block_w ? w->page->width - x : w->l.block_w;
    uint32_t rows = w->page->height - y < w->l.block_h ? w->page->height - y : w->l.block_h;

    for (uint32_t r = 0; r < rows; r++)
    {
        size_t at = ((size_t)(y + r) * w->page->width + x) * w->page->channels;

        gather_row(w, r, across);
        put_pixels(&w->l, w->wanted, across, w->pixels + at);
    }
}

static DsStatus
read_blocks_of_page(Work *w, DsError *err)
{
    for (uint32_t y = 0; y < w->page->height; y += w->l.block_h)
        for (uint32_t x = 0; x < w->page->width; x += w->l.block_w)
        {
            if (!read_block(w, x, y))
                return unreadable(w->t, err);
            put_block(w, x, y);
        }
    return DS_OK;
}

/* Sizes of a block, each from the file and therefore judged here. */
static DsStatus
size_blocks(Work *w, DsError *err)
{
    Layout *l = &w->l;
    uint64_t most = largest_piece(&w->t->limits), bytes = 0, whole = 0, row;
    uint64_t samples = l->separate ? 1 : l->samples;

    if (l->block_w == 0 || l->block_h == 0)
        return image_damaged(err, "TIFF", "strips or tiles without size");
    row = ((uint64_t)l->block_w * samples * l->bits + 7) / 8;
    w->planes = l->separate ? l->colours : 1;
    if (ds_mul(&bytes, row, l->block_h) || ds_mul(&whole, bytes, (uint64_t)w->planes) ||
        whole > most)
    {
        ds_fail(err, DS_LIMIT, "TIFF page is stored in pieces that are too big");
        ds_detail(err, "One piece is %u x %u pixels.", l->block_w, l->block_h);
        return ds_hint(err, "Store it in strips, or raise dsocr.max_pixels.");
    }
    w->row_bytes = row;
    w->plane_bytes = bytes;
    if (l->tiled ? TIFFTileSize64(w->t->tif) != bytes
                 : (uint64_t)TIFFScanlineSize64(w->t->tif) != row)
        return image_damaged(err, "TIFF", "strips or tiles of another size than the header says");
    return DS_OK;
}

static DsStatus
read_own_way(Work *w, DsError *err)
{
    DsStatus st = size_blocks(w, err);

    if (st)
        return st;
    w->planes_at = malloc(w->plane_bytes * (size_t)w->planes);
    w->unpacked = malloc((size_t)w->l.block_w * w->l.samples);
    w->wanted = malloc((size_t)w->l.block_w * MAX_SAMPLES);
    if (w->planes_at && w->unpacked && w->wanted)
        st = read_blocks_of_page(w, err);
    else
        st = ds_fail(err, DS_LIMIT, "out of memory for a TIFF page");
    free(w->planes_at);
    free(w->unpacked);
    free(w->wanted);
    return st;
}

static DsStatus
read_libtiffs_way(Work *w, DsError *err)
{
    size_t n = (size_t)w->page->width * w->page->height;
    uint32_t *raster = malloc(n * sizeof *raster);
    int ok;

    if (raster == NULL)
        return ds_fail(err, DS_LIMIT, "out of memory for a TIFF page");
    ok = TIFFReadRGBAImageOriented(w->t->tif, w->page->width, w->page->height, raster,
                                   w->page->orientation, 1);
    for (size_t i = 0; ok && i < n; i++)
    {
        w->pixels[i * 3 + 0] = (uint8_t)TIFFGetR(raster[i]);
        w->pixels[i * 3 + 1] = (uint8_t)TIFFGetG(raster[i]);
        w->pixels[i * 3 + 2] = (uint8_t)TIFFGetB(raster[i]);
    }
    free(raster);
    return ok && !w->t->truncated ? DS_OK : unreadable(w->t, err);
}

DsStatus
tiff_file_pixels(TiffFile *t, const RawPage *page, uint8_t *pixels, DsError *err)
{
    Work w = {
        .t = t, .page = page, .pixels = pixels, .l = layout_of(t->tif, page->width, page->height)};

    t->text[0] = '\0';
    t->truncated = false;
    return w.l.ink == INK_OTHER ? read_libtiffs_way(&w, err) : read_own_way(&w, err);
}
