/* jpeg.c - stage 1 of 7, JPEG: one format, from memory, with libjpeg-turbo.
 *
 * libjpeg's defaults (the "islow" transform, triangle upsampling) are what the reference uses; changing
 * either changes pixels. libjpeg reports a failure by jumping: guarded is the one place where it lands.
 * Sharp edges: a file that ends early is only a warning to libjpeg and an error here; four-colour files
 * hold inverted ink whether or not they say so, as every writer of them follows Adobe. */
#include "image_formats.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

/* A progressive file may repeat scans that cost time and add nothing; real ones have ten or so. */
#define MAX_SCANS 100

typedef struct JpegRead
{
    struct jpeg_decompress_struct c;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    Blob blob;
    uint8_t *pixels; /* [height, width, channels] */
    RawPage *page;
    bool truncated;
    char text[JMSG_LENGTH_MAX];
    jmp_buf failed;
} JpegRead;

static void
on_error(j_common_ptr c)
{
    JpegRead *r = c->client_data;

    c->err->format_message(c, r->text);
    longjmp(r->failed, 1);
}

static void
on_message(j_common_ptr c, int level)
{
    JpegRead *r = c->client_data;

    if (level < 0 && (c->err->msg_code == JWRN_HIT_MARKER || c->err->msg_code == JWRN_JPEG_EOF))
    {
        r->truncated = true;
        on_error(c);
    }
}

static void
on_print(j_common_ptr c)
{
    (void)c;
}

static void
source_nothing(j_decompress_ptr c)
{
    (void)c;
}

static boolean
source_more(j_decompress_ptr c)
{
    ((JpegRead *)c->client_data)->truncated = true;
    ERREXIT(c, JERR_INPUT_EMPTY);
    return FALSE;
}

static void
source_skip(j_decompress_ptr c, long n)
{
    if (n <= 0)
        return;
    if ((size_t)n > c->src->bytes_in_buffer)
        source_more(c);
    c->src->next_input_byte += n;
    c->src->bytes_in_buffer -= (size_t)n;
}

static void
on_progress(j_common_ptr c)
{
    JpegRead *r = c->client_data;

    if (r->c.input_scan_number > MAX_SCANS)
        ERREXITS(&r->c, JERR_BAD_PROGRESSION, "too many scans");
}

static void
start(JpegRead *r)
{
    r->c.client_data = r;
    jpeg_create_decompress(&r->c);
    r->source = (struct jpeg_source_mgr){
        .next_input_byte = r->blob.data,
        .bytes_in_buffer = r->blob.n,
        .init_source = source_nothing,
        .fill_input_buffer = source_more,
        .skip_input_data = source_skip,
        .resync_to_restart = jpeg_resync_to_restart,
        .term_source = source_nothing,
    };
    r->c.src = &r->source;
    r->progress.progress_monitor = on_progress;
    r->c.progress = &r->progress;
    jpeg_save_markers(&r->c, JPEG_APP0 + 1, 0xFFFF);
    jpeg_read_header(&r->c, TRUE);
}

static void
read_header(JpegRead *r)
{
    RawPage *page = r->page;

    start(r);
    *page =
        (RawPage){r->c.image_width, r->c.image_height, r->c.num_components == 1 ? 1 : 3, 0, 1, 0};
    if (r->c.num_components != 1 && r->c.num_components != 3 && r->c.num_components != 4)
        ERREXIT(&r->c, JERR_BAD_J_COLORSPACE);
    if (r->c.saw_JFIF_marker && r->c.density_unit)
        page->dpi = dpi_of(r->c.X_density * (r->c.density_unit == 2 ? 2.54 : 1.0));
    for (jpeg_saved_marker_ptr m = r->c.marker_list; m; m = m->next)
        if (m->data_length > 6 && memcmp(m->data, "Exif\0\0", 6) == 0)
        {
            exif_read(m->data + 6, m->data_length - 6, &page->orientation, &page->dpi);
            break;
        }
}

static void
read_ink_row(JpegRead *r, JSAMPARRAY ink, uint8_t *row)
{
    size_t width = r->c.output_width;

    jpeg_read_scanlines(&r->c, ink, 1);
    for (size_t i = 0; i < width * 4; i++)
        ink[0][i] = 255 - ink[0][i];
    cmyk_to_rgb(ink[0], row, width);
}

static void
read_pixels(JpegRead *r)
{
    static const J_COLOR_SPACE spaces[5] = {0, JCS_GRAYSCALE, 0, JCS_RGB, JCS_CMYK};
    size_t stride = (size_t)r->page->width * r->page->channels;
    JSAMPARRAY ink;

    start(r);
    r->c.out_color_space = spaces[r->c.num_components];
    jpeg_start_decompress(&r->c);
    if (r->c.output_width != r->page->width || r->c.output_height != r->page->height)
        ERREXIT(&r->c, JERR_WIDTH_OVERFLOW);
    ink = r->c.mem->alloc_sarray((j_common_ptr)&r->c, JPOOL_IMAGE, r->c.output_width * 4, 1);
    while (r->c.output_scanline < r->c.output_height)
    {
        uint8_t *row = r->pixels + r->c.output_scanline * stride;

        if (r->c.num_components == 4)
            read_ink_row(r, ink, row);
        else
            jpeg_read_scanlines(&r->c, &row, 1);
    }
    jpeg_finish_decompress(&r->c);
}

static bool
guarded(JpegRead *r, void (*work)(JpegRead *))
{
    r->c.err = jpeg_std_error(&r->errors);
    r->errors.error_exit = on_error;
    r->errors.emit_message = on_message;
    r->errors.output_message = on_print;
    if (setjmp(r->failed))
        return false;
    work(r);
    return true;
}

static DsStatus
run(JpegRead *r, void (*work)(JpegRead *), DsError *err)
{
    bool ok = guarded(r, work);

    jpeg_destroy_decompress(&r->c);
    if (ok)
        return DS_OK;
    return r->truncated ? image_truncated(err, "JPEG", r->blob.n)
                        : image_damaged(err, "JPEG", r->text);
}

DsStatus
jpeg_file_header(Blob blob, RawPage *page, DsError *err)
{
    JpegRead r = {.blob = blob, .page = page};

    return run(&r, read_header, err);
}

DsStatus
jpeg_file_pixels(Blob blob, const RawPage *page, uint8_t *pixels, DsError *err)
{
    RawPage known = *page;
    JpegRead r = {.blob = blob, .page = &known, .pixels = pixels};

    return run(&r, read_pixels, err);
}
