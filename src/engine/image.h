/* image.h - stage 1 of 7: bytes -> pixels. Tells formats apart, holds the limits.
 *
 * An image is a stranger: the format is told by magic number only, the size is read from the header
 * and checked before a byte is allocated. Sharp edge: sizes are those of the upright page (EXIF and
 * TIFF orientation applied, the rows or columns of a fax multiplied until its pixels are square); a decoder's
 * native size may be another one. */
#ifndef DS_IMAGE_H
#define DS_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "status.h"

typedef enum ImageFormat
{
    IMAGE_UNKNOWN = 0,
    IMAGE_PNG,
    IMAGE_JPEG,
    IMAGE_TIFF,
    IMAGE_WEBP,
    IMAGE_PDF, /* recognised and refused: DS_UNSUPPORTED */
} ImageFormat;

typedef struct ImageLimits
{
    uint64_t max_bytes;  /* of the file; dsocr.max_image_bytes */
    uint64_t max_pixels; /* of one page; dsocr.max_pixels */
    int max_side;        /* dsocr.max_side */
    int min_side;        /* dsocr.min_side */
    int max_pages;       /* dsocr.max_pages */
} ImageLimits;

/* 64 MB, 64 M pixels, 20000, 16, 500: the settings' defaults. */
extern const ImageLimits image_default_limits;

typedef struct ImagePage
{
    int width, height; /* upright */
    int channels;      /* 1 grey, 3 RGB: what image_decode will write */
    int dpi;           /* 0: the file does not say */
    int orientation;   /* EXIF 1..8 as found; already applied in width and height */
    DsStatus status;   /* DS_OK, or why this page alone cannot be read (P5) */
    char message[128];
} ImagePage;

typedef struct ImageInfo
{
    ImageFormat format;
    int page_count;
    ImagePage *pages; /* [page_count], from the arena */
} ImageInfo;

typedef struct Image
{
    int width, height;
    int channels; /* 1 or 3 */
    int dpi;
    uint8_t *pixels; /* [height, width, channels], rows without padding */
} Image;

ImageFormat image_format(const uint8_t *blob, size_t n);
const char *image_format_name(ImageFormat f); /* "png", "jpeg", "tiff", "webp", "pdf" */

/* Headers only; needs no model. DS_BAD_INPUT not an image, DS_LIMIT over a limit (the hint names the
 * setting), DS_UNSUPPORTED for PDF. A page of a TIFF that is over a limit or broken is reported in its
 * ImagePage and does not fail the document unless it is the only page. */
DsStatus image_info(const uint8_t *blob, size_t n, const ImageLimits *limits, Arena *arena,
                    ImageInfo *info, DsError *err);

/* Decodes page `page` (from 0) upright into `pixels`, of `capacity` bytes; image->pixels is that buffer.
 * Checks the header and limits itself, again. Spec 3.1: alpha is dropped, CMYK converted as Pillow does,
 * 16-bit samples keep the high byte, bilevel gives 0 and 255. */
DsStatus image_decode(const uint8_t *blob, size_t n, int page, const ImageLimits *limits,
                      uint8_t *pixels, size_t capacity, Image *image, DsError *err);

/* Turns by 0, 90, 180 or 270 degrees clockwise into arena memory. DS_LIMIT when the arena is full. */
DsStatus image_rotate(const Image *in, int degrees, Arena *arena, Image *out, DsError *err);

/* PNG bytes (malloc'd into *out, *n long) of a page image; for page images, crops and dumps. */
DsStatus image_write_png(const Image *image, uint8_t **out, size_t *n, DsError *err);

#endif
