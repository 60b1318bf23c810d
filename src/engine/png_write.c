/* png_write.c - pixels -> PNG bytes: page images, crops and dumps.
 *
 * libpng reports a failure by jumping: write_guarded is the one place where such a jump lands. The level
 * of compression is low: these images are made while somebody waits. */
#include "image.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

typedef struct PngWrite
{
    const Image *image;
    png_structp png;
    png_infop info;
    uint8_t *bytes; /* malloc'd */
    size_t n, room;
    jmp_buf failed;
} PngWrite;

static void
on_error(png_structp png, png_const_charp text)
{
    PngWrite *w = png_get_error_ptr(png);

    (void)text;
    longjmp(w->failed, 1);
}

static void
on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void
on_write(png_structp png, png_bytep from, size_t n)
{
    PngWrite *w = png_get_io_ptr(png);

    if (n > w->room - w->n)
    {
        size_t room = (w->room + n) * 2;
        uint8_t *bytes = realloc(w->bytes, room);

        if (bytes == NULL)
            png_error(png, "out of memory");
        w->bytes = bytes;
        w->room = room;
    }
    memcpy(w->bytes + w->n, from, n);
    w->n += n;
}

static void
on_flush(png_structp png)
{
    (void)png;
}

static void
write_all(PngWrite *w)
{
    const Image *im = w->image;
    size_t stride = (size_t)im->width * im->channels;
    png_uint_32 per_metre = (png_uint_32)(im->dpi / 0.0254 + 0.5);

    png_set_write_fn(w->png, w, on_write, on_flush);
    png_set_compression_level(w->png, 3);
    png_set_IHDR(w->png, w->info, (png_uint_32)im->width, (png_uint_32)im->height, 8,
                 im->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (im->dpi > 0)
        png_set_pHYs(w->png, w->info, per_metre, per_metre, PNG_RESOLUTION_METER);
    png_write_info(w->png, w->info);
    for (int y = 0; y < im->height; y++)
        png_write_row(w->png, im->pixels + (size_t)y * stride);
    png_write_end(w->png, NULL);
}

static int
write_guarded(PngWrite *w)
{
    if (setjmp(w->failed))
        return 0;
    w->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, w, on_error, on_warning);
    w->info = w->png ? png_create_info_struct(w->png) : NULL;
    if (w->info == NULL)
        return 0;
    write_all(w);
    return 1;
}

DsStatus
image_write_png(const Image *image, uint8_t **out, size_t *n, DsError *err)
{
    PngWrite w = {.image = image};
    int ok = write_guarded(&w);

    png_destroy_write_struct(&w.png, &w.info);
    if (!ok)
    {
        free(w.bytes);
        return ds_fail(err, DS_LIMIT, "cannot write a PNG of %d x %d pixels", image->width,
                       image->height);
    }
    *out = w.bytes;
    *n = w.n;
    return DS_OK;
}
