/* image_formats.h - what image.c knows of the format files, and nobody else.
 *
 * Each format gives a header (sizes as stored, before turning) and pixels (as stored, [height, width,
 * channels], rows without padding). Limits are image.c's business: it checks them between the two calls,
 * so a format's pixel function may trust the header it is handed, and nothing else in the file. */
#ifndef DS_IMAGE_FORMATS_H
#define DS_IMAGE_FORMATS_H

#include <stdbool.h>

#include "image.h"

typedef struct Blob
{
    const uint8_t *data; /* [n] */
    size_t n;
} Blob;

typedef struct RawPage
{
    uint32_t width, height; /* as stored */
    int channels;           /* 1 or 3 */
    int dpi;                /* 0: unknown */
    int orientation;        /* EXIF 1..8 */
    int dpi_down;           /* TIFF: dpi from row to row, where it may differ; 0: as dpi */
} RawPage;

DsStatus png_file_header(Blob blob, RawPage *page, DsError *err);
DsStatus png_file_pixels(Blob blob, const RawPage *page, uint8_t *pixels, DsError *err);
DsStatus jpeg_file_header(Blob blob, RawPage *page, DsError *err);
DsStatus jpeg_file_pixels(Blob blob, const RawPage *page, uint8_t *pixels, DsError *err);
DsStatus webp_file_header(Blob blob, RawPage *page, DsError *err);
DsStatus webp_file_pixels(Blob blob, const RawPage *page, uint8_t *pixels, DsError *err);

/* A TIFF is opened once and walked. page_error tells the caller about one page and lets the walk go on. */
typedef struct TiffFile TiffFile;

DsStatus tiff_file_open(Blob blob, const ImageLimits *limits, TiffFile **tiff, DsError *err);
void tiff_file_close(TiffFile *tiff);
/* Header of the current page. */
DsStatus tiff_file_header(TiffFile *tiff, RawPage *page, DsError *err);
/* Steps to the next page: 1 there is one, 0 that was the last, -1 the chain of pages is broken here. */
int tiff_file_next(TiffFile *tiff);
DsStatus tiff_file_pixels(TiffFile *tiff, const RawPage *page, uint8_t *pixels, DsError *err);

/* The orientation (1..8) and resolution found in an EXIF block (which is a small TIFF); what it does not
 * say, or says wrongly, leaves *orientation and *dpi as they are. */
void exif_read(const uint8_t *p, size_t n, int *orientation, int *dpi);

/* The two ways for a file to be unreadable. format: "PNG"; text: the library's words or NULL (bytes that
 * are not printable ASCII become '?', since they may come out of the file). */
DsStatus image_truncated(DsError *err, const char *format, size_t n);
DsStatus image_damaged(DsError *err, const char *format, const char *text);

/* Ink to light, as Pillow does: n = 255 - K; R = clip(n - C n / 255), spec 3.1.
 * cmyk: [n, 4], 0 is no ink; rgb: [n, 3]. */
void cmyk_to_rgb(const uint8_t *cmyk, uint8_t *rgb, size_t n);

/* Dots per inch as a whole number, 0 where it is not a sensible one. */
int dpi_of(double per_inch);

#endif
