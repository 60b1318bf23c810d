/* png.c - stage 1 of 7, PNG: one format, from memory, with libpng.
 *
 * The header is read here by hand, for the size must be known and judged before libpng sees the file.
 * libpng reports a failure by jumping: read_guarded is the one place where such a jump lands. Sharp edge:
 * compressed text and colour profiles are skipped unread, being of no use and a way to make us inflate. */
#include "image_formats.h"

#include <png.h>
#include <setjmp.h>
#include <string.h>

typedef struct PngRead
{
    Blob blob;
    size_t pos;
    uint8_t *pixels; /* [height, width, channels] */
    size_t stride;
    png_structp png;
    png_infop info;
    bool truncated;
    char text[128];
    jmp_buf failed;
} PngRead;

static uint32_t
be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Orientation and resolution; eXIf may come after the pixels. */
static void
read_side_chunks(Blob blob, RawPage *page)
{
    size_t at = 8;

    while (blob.n - at >= 12)
    {
        const uint8_t *chunk = blob.data + at;
        uint32_t length = be32(chunk);

        if (length > blob.n - at - 12)
            break;
        if (memcmp(chunk + 4, "eXIf", 4) == 0)
            exif_read(chunk + 8, length, &page->orientation, &page->dpi);
        else if (memcmp(chunk + 4, "pHYs", 4) == 0 && length == 9 && chunk[16] == 1)
            page->dpi = dpi_of(be32(chunk + 8) * 0.0254);
        at += 12 + (size_t)length;
    }
}

DsStatus
png_file_header(Blob blob, RawPage *page, DsError *err)
{
    static const uint8_t channels[7] = {1, 0, 3, 3, 1, 0, 3}; /* by colour type; alpha is dropped */
    const uint8_t *ihdr = blob.data + 8;

    if (blob.n < 33)
        return image_truncated(err, "PNG", blob.n);
    if (memcmp(ihdr, "\0\0\0\15IHDR", 8) != 0 || ihdr[17] > 6 || channels[ihdr[17]] == 0)
        return image_damaged(err, "PNG", "the header is not one");
    *page = (RawPage){be32(ihdr + 8), be32(ihdr + 12), channels[ihdr[17]], 0, 1, 0};
    read_side_chunks(blob, page);
    return DS_OK;
}

static void
on_error(png_structp png, png_const_charp text)
{
    PngRead *r = png_get_error_ptr(png);

    strncpy(r->text, text, sizeof r->text - 1);
    longjmp(r->failed, 1);
}

static void
on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void
on_read(png_structp png, png_bytep to, size_t n)
{
    PngRead *r = png_get_io_ptr(png);

    if (n > r->blob.n - r->pos)
    {
        r->truncated = true;
        png_error(png, "the file ends early");
    }
    memcpy(to, r->blob.data + r->pos, n);
    r->pos += n;
}

static void
skip_the_useless(png_structp png)
{
    static const png_byte names[] = "iCCP\0iTXt\0tEXt\0zTXt\0sPLT\0hIST\0eXIf\0sCAL\0pCAL\0tIME";

    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, names, sizeof names / 5);
}

/* Any failure in here jumps. Interlaced rows are combined in place, pass by pass. */
static void
read_all(PngRead *r)
{
    int passes;

    png_set_read_fn(r->png, r, on_read);
    png_set_user_limits(r->png, 0x7fffffff, 0x7fffffff);
    skip_the_useless(r->png);
    png_read_info(r->png, r->info);
    png_set_expand(r->png); /* palette and 1, 2, 4 bit to bytes */
    png_set_strip_16(r->png);
    png_set_strip_alpha(r->png);
    passes = png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    if (png_get_rowbytes(r->png, r->info) != r->stride)
        png_error(r->png, "rows are not as long as the header says");
    while (passes-- > 0)
        for (png_uint_32 y = 0; y < png_get_image_height(r->png, r->info); y++)
            png_read_row(r->png, r->pixels + y * r->stride, NULL);
    png_read_end(r->png, NULL);
}

static bool
read_guarded(PngRead *r)
{
    if (setjmp(r->failed))
        return false;
    r->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, r, on_error, on_warning);
    r->info = r->png ? png_create_info_struct(r->png) : NULL;
    if (r->info == NULL)
        return false;
    read_all(r);
    return true;
}

DsStatus
png_file_pixels(Blob blob, const RawPage *page, uint8_t *pixels, DsError *err)
{
    PngRead r = {.blob = blob, .pixels = pixels, .stride = (size_t)page->width * page->channels};
    bool ok = read_guarded(&r);

    png_destroy_read_struct(&r.png, &r.info, NULL);
    if (ok)
        return DS_OK;
    if (r.truncated)
        return image_truncated(err, "PNG", blob.n);
    return image_damaged(err, "PNG", r.text[0] ? r.text : "out of memory");
}
