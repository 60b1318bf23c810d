/* image_test.c - what image.h promises: every format to Pillow's pixels, and no trust in any byte. */
#include "check.h"
#include "image_files.h"

#define ROOM ((size_t)1 << 20)

static uint8_t pixels[ROOM + 64];

static ImageLimits
small_limits(void)
{
    ImageLimits l = image_default_limits;

    l.min_side = 1;
    l.max_pixels = 300000;
    return l;
}

static DsStatus
decode(File f, int page, const ImageLimits *limits, Image *image, DsError *err)
{
    memset(err, 0, sizeof *err);
    return image_decode(f.data, f.n, page, limits, pixels, ROOM, image, err);
}

/* ---- good files ---- */

static bool
info_agrees(File f, const Golden *g)
{
    Arena arena;
    ImageInfo info;
    DsError err = {0};
    bool ok;

    arena_init(&arena, 0);
    ok = image_info(f.data, f.n, &image_default_limits, &arena, &info, &err) == DS_OK &&
         g->page < info.page_count;
    if (ok)
    {
        const ImagePage *p = &info.pages[g->page];

        ok = p->width == g->width && p->height == g->height && p->channels == g->channels &&
             p->dpi == g->dpi && p->orientation == g->orientation && p->status == DS_OK;
        if (!ok)
            printf("     info: %d x %d, %d channels, %d dpi, orientation %d, status %d\n", p->width,
                   p->height, p->channels, p->dpi, p->orientation, (int)p->status);
    }
    else
        printf("     info: %s (%s)\n", err.message, err.detail);
    arena_free(&arena);
    return ok;
}

static void
test_golden(const Golden *g)
{
    File f = golden_file(g->name);
    Image im = {0};
    DsError err;
    DsStatus st = decode(f, g->page, &image_default_limits, &im, &err);
    size_t n = (size_t)im.width * im.height * im.channels;
    char what[128];
    bool ok = st == DS_OK && im.width == g->width && im.height == g->height &&
              im.channels == g->channels && im.dpi == g->dpi && fnv1a(pixels, n) == g->hash;

    snprintf(what, sizeof what, "%s page %d: size, dpi, orientation and pixels", g->name,
             g->page + 1);
    if (st)
        printf("     %s (%s)\n", err.message, err.detail);
    promise(what, ok && info_agrees(f, g));
    free(f.data);
}

/* libtiff's own conversion: within 2 of BT.601, whose rounding it does not share with Pillow. */
static void
test_ycbcr(void)
{
    File f = golden_file("ycbcr.tif");
    Image im;
    DsError err;
    bool ok = decode(f, 0, &image_default_limits, &im, &err) == DS_OK && im.channels == 3;

    for (int y = 0; ok && y < im.height; y++)
        for (int x = 0; x < im.width; x++)
        {
            int bar = (x / 6 + y / 9 * 2) % 3 == 0 ? 90 : 0, light = 40 + 3 * x - y - bar;
            double want = (light < 0 ? 0 : light > 255 ? 255 : light) + 1.402 * (150 - y - 128);

            want = want < 0 ? 0 : want > 255 ? 255 : want;
            ok = ok && close_to(pixels[(y * im.width + x) * 3], want, 2);
        }
    promise("ycbcr.tif, a TIFF of a rare colour space, is converted", ok);
    free(f.data);
}

static void
test_all_golden(void)
{
    FILE *list = fopen("test/golden/images.tsv", "r");
    Golden g;
    int n = 0;

    while (list && next_golden(list, &g))
    {
        test_golden(&g);
        n++;
    }
    if (list)
        fclose(list);
    promise("at least 80 golden pages were looked at", n >= 80);
}

/* ---- files that end early ---- */

/* How many of all beginnings of the file are taken for a good image. */
static size_t
good_beginnings(const char *name, bool *clear)
{
    File f = golden_file(name);
    ImageLimits limits = small_limits();
    size_t good = 0;

    *clear = f.n > 0;
    for (size_t n = 0; n < f.n; n++)
    {
        File part = {malloc(n + 1), n}; /* its own block, so that a sanitizer sees a step too far */
        Image im;
        DsError err;

        memcpy(part.data, f.data, n);
        if (decode(part, 0, &limits, &im, &err) == DS_OK)
            good++;
        else if (n > 40 && (err.status != DS_BAD_INPUT || strstr(err.message, "truncated") == NULL))
            *clear = false;
        free(part.data);
    }
    free(f.data);
    return good;
}

static void
test_truncated(void)
{
    static const char *const whole[] = {"rgb8.png",        "adam7_grey1.png", "rgb420.jpg",
                                        "progressive.jpg", "lossy.webp",      "lossless.webp",
                                        "turn8.webp"};
    static const char *const some[] = {"bilevel_group4.tif", "rgb_lzw.tif", "rgb_jpeg.tif",
                                       "tiles_deflate.tif", "three_pages.tif"};
    char what[128];
    bool clear;

    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
    {
        size_t good = good_beginnings(whole[i], &clear);

        snprintf(what, sizeof what, "%s cut at any byte is an error", whole[i]);
        promise(what, good == 0);
        snprintf(what, sizeof what, "%s cut at any byte past its header is called truncated",
                 whole[i]);
        promise(what, clear);
    }
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
    {
        good_beginnings(some[i], &clear);
        snprintf(what, sizeof what, "%s cut at any byte ends well", some[i]);
        promise(what, true);
    }
}

static void
test_half_a_tiff(const char *name)
{
    File f = golden_file(name);
    Image im;
    DsError err;
    char what[96];

    f.n /= 2;
    snprintf(what, sizeof what, "half of %s is truncated", name);
    promise(what, decode(f, 0, &image_default_limits, &im, &err) == DS_BAD_INPUT &&
                      strcmp(err.message, "TIFF image is truncated") == 0 && err.detail[0] &&
                      err.hint[0]);
    free(f.data);
}

static void
test_bytes_changed(void)
{
    static const char *const names[] = {"rgb8.png",        "progressive.jpg",    "cmyk.jpg",
                                        "alpha.webp",      "bilevel_group3.tif", "rgb_jpeg.tif",
                                        "three_pages.tif", "planes.tif",         "bigtiff.tif",
                                        "ycbcr.tif",       "turn8.webp"};
    ImageLimits limits = small_limits();
    unsigned seed = 1;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    {
        File f = golden_file(names[i]);

        for (int round = 0; f.n && round < 300; round++)
        {
            size_t at = rand_r(&seed) % (round % 2 ? f.n : f.n < 300 ? f.n : 300);
            uint8_t was = f.data[at];
            Image im;
            DsError err;

            f.data[at] = (uint8_t)rand_r(&seed);
            decode(f, 0, &limits, &im, &err);
            f.data[at] = was;
        }
        free(f.data);
    }
    promise("one changed byte, 300 places in each of 11 files, ends well", true);
    promise("nothing was written behind the pixels",
            fnv1a(pixels + ROOM, 64) == fnv1a((uint8_t[64]){0}, 64));
}

/* ---- limits and refusals ---- */

static void
be32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

/* A PNG whose header says what it likes. */
static File
png_of_size(uint32_t w, uint32_t h)
{
    File f = golden_file("rgb8.png");

    be32(f.data + 16, w);
    be32(f.data + 20, h);
    return f;
}

static void
expect(const char *what, File f, int page, DsStatus st, const char *message, const char *hint)
{
    Image im;
    ImageInfo info;
    Arena arena;
    DsError err = {0};
    DsStatus got;

    arena_init(&arena, 1 << 22);
    got = page ? DS_OK : image_info(f.data, f.n, &image_default_limits, &arena, &info, &err);
    if (got == DS_OK)
        got = decode(f, page, &image_default_limits, &im, &err);
    arena_free(&arena);
    if (!promise(what,
                 got == st && strcmp(err.message, message) == 0 && strstr(err.hint, hint) != NULL))
        printf("     status %d: %s | %s | %s\n", (int)got, err.message, err.detail, err.hint);
    free(f.data);
}

static File
bytes_of(const char *s, size_t n)
{
    File f = {malloc(n + 1), n};

    memcpy(f.data, s, n);
    return f;
}

static void
test_limits(void)
{
    File big = bytes_of("\211PNG\r\n\032\n", 8);

    expect("a PNG of 50000 x 50000 is refused from its header", png_of_size(50000, 50000), 0,
           DS_LIMIT, "image is 50000 x 50000 pixels", "dsocr.max_side");
    expect("20001 pixels wide is refused", png_of_size(20001, 100), 0, DS_LIMIT,
           "image is 20001 x 100 pixels", "dsocr.max_side");
    expect("100 megapixels are refused", png_of_size(10000, 10000), 0, DS_LIMIT,
           "image has 100 megapixels", "dsocr.max_pixels");
    expect("1 x 1 pixel is refused", png_of_size(1, 1), 0, DS_LIMIT, "image is 1 x 1 pixels",
           "dsocr.min_side");
    expect("no pixels at all is refused", png_of_size(0, 10), 0, DS_BAD_INPUT,
           "image has no pixels", "");
    big.data = realloc(big.data, ((size_t)64 << 20) + 1);
    big.n = ((size_t)64 << 20) + 1;
    expect("64 MB and a byte is refused", big, 0, DS_LIMIT, "document has 67108865 bytes",
           "dsocr.max_image_bytes");
}

/* A fax of 61 x 43 pixels at 204 x 98 dpi is a page of 61 x 90. */
static void
test_square_limits(void)
{
    ImageLimits limits = image_default_limits;
    File f = golden_file("fax_coarse.tif");
    Image im;
    DsError err;

    limits.max_side = 89;
    promise("limits are those of the page with square pixels",
            decode(f, 0, &limits, &im, &err) == DS_LIMIT &&
                strcmp(err.message, "image is 61 x 90 pixels") == 0);
    memset(&err, 0, sizeof err);
    promise("so is the room for its pixels",
            image_decode(f.data, f.n, 0, &image_default_limits, pixels, 61 * 90 - 1, &im, &err) ==
                DS_LIMIT);
    free(f.data);
}

static void
test_refusals(void)
{
    const char *formats = "PNG, JPEG, TIFF and WebP";

    expect("nothing is not an image", bytes_of("", 0), 0, DS_BAD_INPUT, "document is empty",
           formats);
    expect("random bytes are not an image", bytes_of("\1\2\3\4\5\6\7\10\11\12", 10), 0,
           DS_BAD_INPUT, "not an image", formats);
    expect("PDF is known by its magic", bytes_of("%PDF-1.7\n%....", 14), 0, DS_UNSUPPORTED,
           "PDF is not supported", "PNG");
    expect("JPEG 2000 is known by its magic", bytes_of("\0\0\0\014jP  \r\n\207\n....", 16), 0,
           DS_UNSUPPORTED, "JPEG 2000 is not supported", "PNG");
    expect("BMP is known by its magic", bytes_of("BM\0\0\0\0\0\0\0\0\066\0\0\0", 14), 0,
           DS_UNSUPPORTED, "BMP is not supported", "PNG");
    expect("a telephone's HEIF is known by its magic", bytes_of("\0\0\0\030ftypmif1", 12), 0,
           DS_UNSUPPORTED, "HEIF is not supported", "PNG");
    expect("GIF is known by its magic", bytes_of("GIF89a......", 12), 0, DS_UNSUPPORTED,
           "GIF is not supported", "PNG");
    expect("a TIFF without pages", bytes_of("II*\0\0\0\0\0", 8), 0, DS_BAD_INPUT,
           "TIFF has no pages", "");
    expect("a page that does not exist", golden_file("three_pages.tif"), 3, DS_BAD_REQUEST,
           "page 4 does not exist", "");
    promise("a refusal stays one when nobody asks for the words",
            image_decode((const uint8_t *)"", 0, 0, &image_default_limits, pixels, ROOM,
                         &(Image){0}, NULL) == DS_BAD_INPUT);
    expect("a second page of a PNG", golden_file("rgb8.png"), 1, DS_BAD_REQUEST,
           "page 2 does not exist", "");
}

static void
test_damaged(void)
{
    File f = golden_file("rgb8.png");

    f.data[60] ^= 0x55;
    expect("a PNG with a wrong check sum", f, 0, DS_BAD_INPUT, "PNG image is damaged", "viewer");
    f = golden_file("rgb420.jpg");
    memset(f.data + 20, 0, 40);
    expect("a JPEG with a hole", f, 0, DS_BAD_INPUT, "JPEG image is damaged", "viewer");
    f = golden_file("lossless.webp");
    memset(f.data + 30, 0xff, 40);
    expect("a WebP with a hole", f, 0, DS_BAD_INPUT, "WebP image is damaged", "viewer");
    f = golden_file("rgb_lzw.tif");
    memset(f.data + 10, 0xff, 60);
    expect("a TIFF with a hole", f, 0, DS_BAD_INPUT, "TIFF image is damaged", "viewer");
}

static size_t
find_marker(File f, size_t at, uint8_t marker)
{
    while (at + 1 < f.n &&
           !(f.data[at] == 0xff && (marker ? f.data[at + 1] == marker : f.data[at + 1] >= 0xc0)))
        at++;
    return at;
}

/* The first scan of a progressive file, many times. */
static File
scan_bomb(int times)
{
    File f = golden_file("progressive.jpg"), bomb;
    size_t scan = find_marker(f, 0, 0xda), after = find_marker(f, scan + 2, 0),
           length = after - scan;

    bomb.data = malloc(f.n + length * (size_t)times);
    memcpy(bomb.data, f.data, scan);
    bomb.n = scan;
    for (int i = 0; i < times; i++, bomb.n += length)
        memcpy(bomb.data + bomb.n, f.data + scan, length);
    memcpy(bomb.data + bomb.n, f.data + scan, f.n - scan);
    bomb.n += f.n - scan;
    free(f.data);
    return bomb;
}

static void
test_scans(void)
{
    File f = scan_bomb(20);
    Image im;
    DsError err;

    promise("a progressive JPEG may repeat itself a little",
            decode(f, 0, &image_default_limits, &im, &err) == DS_OK);
    free(f.data);
    expect("a progressive JPEG of 1000 scans is refused", scan_bomb(1000), 0, DS_BAD_INPUT,
           "JPEG image is damaged", "");
}

/* ---- documents with bad pages ---- */

static size_t
find_tag(File f, int nth, unsigned tag)
{
    size_t ifd = f.data[4] | (size_t)f.data[5] << 8 | (size_t)f.data[6] << 16;

    for (;; nth--)
    {
        size_t n = f.data[ifd] | (size_t)f.data[ifd + 1] << 8, next = ifd + 2 + n * 12;

        for (size_t i = 0; nth == 0 && i < n; i++)
            if ((f.data[ifd + 2 + i * 12] | (unsigned)f.data[ifd + 3 + i * 12] << 8) == tag)
                return ifd + 2 + i * 12 + 8;
        if (nth == 0)
            return next; /* tag 0: the link to the next page */
        ifd = f.data[next] | (size_t)f.data[next + 1] << 8 | (size_t)f.data[next + 2] << 16;
    }
}

static ImageInfo
info_of(File f, const ImageLimits *limits, Arena *arena, DsError *err, DsStatus *st)
{
    ImageInfo info;

    memset(err, 0, sizeof *err);
    arena_init(arena, 0);
    *st = image_info(f.data, f.n, limits, arena, &info, err);
    return info;
}

static void
test_bad_pages(void)
{
    File f = golden_file("three_pages.tif");
    size_t at = find_tag(f, 1, 256);
    ImageInfo info;
    Arena arena;
    DsError err;
    DsStatus st;

    f.data[at] = f.data[at + 1] = 0xff;
    info = info_of(f, &image_default_limits, &arena, &err, &st);
    promise("a TIFF page that is too wide does not fail its document",
            st == DS_OK && info.page_count == 3 && info.pages[1].status == DS_LIMIT &&
                info.pages[2].status == DS_OK && strstr(info.pages[1].message, "65535") != NULL);
    arena_free(&arena);
    free(f.data);

    f = golden_file("three_pages.tif");
    memset(f.data + find_tag(f, 1, 0), 0xee, 4);
    info = info_of(f, &image_default_limits, &arena, &err, &st);
    promise("where the chain of pages breaks there is a page that says so",
            st == DS_OK && info.page_count == 3 && info.pages[1].status == DS_OK &&
                info.pages[2].status == DS_BAD_INPUT);
    arena_free(&arena);
    free(f.data);
}

static void
test_page_limit(void)
{
    File f = golden_file("three_pages.tif");
    ImageLimits limits = image_default_limits;
    Arena arena;
    DsError err;
    DsStatus st;

    limits.max_pages = 2;
    info_of(f, &limits, &arena, &err, &st);
    promise("more pages than dsocr.max_pages are refused",
            st == DS_LIMIT && strstr(err.hint, "dsocr.max_pages"));
    arena_free(&arena);
    memcpy(f.data + find_tag(f, 2, 0), f.data + 4, 4);
    info_of(f, &image_default_limits, &arena, &err, &st);
    promise("a chain of pages that bites its tail ends",
            st == DS_OK || st == DS_LIMIT || st == DS_BAD_INPUT);
    arena_free(&arena);
    free(f.data);
}

static void
test_capacity(void)
{
    File f = golden_file("rgb8.png");
    Image im;
    DsError err = {0};
    size_t need = 61 * 43 * 3;

    promise("an image one byte too big for its buffer is refused",
            image_decode(f.data, f.n, 0, &image_default_limits, pixels, need - 1, &im, &err) ==
                DS_LIMIT);
    promise("an image that just fits is not",
            image_decode(f.data, f.n, 0, &image_default_limits, pixels, need, &im, &err) == DS_OK);
    free(f.data);
}

/* ---- turning and writing ---- */

static void
test_rotate(void)
{
    uint8_t six[6] = {1, 2, 3, 4, 5, 6};
    Image in = {.width = 3, .height = 2, .channels = 1, .pixels = six}, out;
    Arena arena;
    DsError err;

    arena_init(&arena, 0);
    promise("0 degrees is a copy", image_rotate(&in, 0, &arena, &out, &err) == DS_OK &&
                                       out.pixels != six && memcmp(out.pixels, six, 6) == 0);
    promise("90 degrees is clockwise", image_rotate(&in, 90, &arena, &out, &err) == DS_OK &&
                                           out.width == 2 && out.height == 3 &&
                                           memcmp(out.pixels, "\4\1\5\2\6\3", 6) == 0);
    promise("180 degrees", image_rotate(&in, 180, &arena, &out, &err) == DS_OK && out.width == 3 &&
                               memcmp(out.pixels, "\6\5\4\3\2\1", 6) == 0);
    promise("270 degrees", image_rotate(&in, 270, &arena, &out, &err) == DS_OK && out.width == 2 &&
                               memcmp(out.pixels, "\3\6\2\5\1\4", 6) == 0);
    promise("45 degrees is refused", image_rotate(&in, 45, &arena, &out, &err) == DS_BAD_REQUEST);
    arena_free(&arena);
}

static void
test_write(const char *name)
{
    File f = golden_file(name), png = {0};
    Image im, back;
    DsError err;
    uint64_t before;
    size_t n;
    char what[96];
    bool ok = decode(f, 0, &image_default_limits, &im, &err) == DS_OK;

    n = (size_t)im.width * im.height * im.channels;
    before = fnv1a(pixels, n);
    im.dpi = 300;
    ok = ok && image_write_png(&im, &png.data, &png.n, &err) == DS_OK;
    memset(pixels, 0, n);
    ok = ok && decode(png, 0, &image_default_limits, &back, &err) == DS_OK;
    snprintf(what, sizeof what, "%s written as PNG and read again is the same", name);
    promise(what, ok && fnv1a(pixels, n) == before && back.width == im.width &&
                      back.height == im.height && back.channels == im.channels && back.dpi == 300);
    free(f.data);
    free(png.data);
}

int
main(void)
{
    test_all_golden();
    test_ycbcr();
    test_truncated();
    test_half_a_tiff("bilevel_group4.tif");
    test_half_a_tiff("rgb_raw.tif");
    test_half_a_tiff("rgb_jpeg.tif");
    test_bytes_changed();
    test_limits();
    test_square_limits();
    test_refusals();
    test_damaged();
    test_scans();
    test_bad_pages();
    test_page_limit();
    test_capacity();
    test_rotate();
    test_write("rgb420.jpg");
    test_write("grey4.png");
    return report();
}
