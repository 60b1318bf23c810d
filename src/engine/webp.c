/* webp.c - stage 1 of 7, WebP: one format, from memory, with libwebp.
 *
 * libwebp never jumps and never prints. The EXIF block is found by a walk over the RIFF chunks.
 * Sharp edge: an animation is refused; a page of an archive does not move. */
#include "image_formats.h"

#include <string.h>
#include <webp/decode.h>

static const char *const reasons[] = {
    [VP8_STATUS_OUT_OF_MEMORY] = "out of memory",
    [VP8_STATUS_INVALID_PARAM] = "invalid parameter",
    [VP8_STATUS_BITSTREAM_ERROR] = "the compressed data are wrong",
    [VP8_STATUS_UNSUPPORTED_FEATURE] = "it uses a feature that libwebp does not know",
};

static DsStatus
failed(VP8StatusCode code, size_t n, DsError *err)
{
    if (code == VP8_STATUS_NOT_ENOUGH_DATA || code == VP8_STATUS_SUSPENDED)
        return image_truncated(err, "WebP", n);
    return image_damaged(err, "WebP",
                         (size_t)code < sizeof reasons / sizeof *reasons ? reasons[code] : NULL);
}

static void
find_exif(Blob blob, RawPage *page)
{
    size_t at = 12;

    while (blob.n >= 8 && at <= blob.n - 8)
    {
        const uint8_t *chunk = blob.data + at;
        size_t length =
            (size_t)chunk[7] << 24 | (size_t)chunk[6] << 16 | (size_t)chunk[5] << 8 | chunk[4];
        bool named;

        if (length > blob.n - at - 8)
            return;
        if (memcmp(chunk, "EXIF", 4) == 0)
        {
            /* Some writers keep the JPEG's six bytes of name in front. */
            named = length > 6 && memcmp(chunk + 8, "Exif\0\0", 6) == 0;
            exif_read(chunk + 8 + (named ? 6 : 0), length - (named ? 6 : 0), &page->orientation,
                      &page->dpi);
            return;
        }
        at += 8 + length + (length & 1);
    }
}

DsStatus
webp_file_header(Blob blob, RawPage *page, DsError *err)
{
    WebPBitstreamFeatures features;
    VP8StatusCode code = WebPGetFeatures(blob.data, blob.n, &features);

    if (code != VP8_STATUS_OK)
        return failed(code, blob.n, err);
    if (features.has_animation)
    {
        ds_fail(err, DS_UNSUPPORTED, "WebP animations are not supported");
        return ds_hint(err, "Store the pages as single images, or as a multi-page TIFF.");
    }
    *page = (RawPage){(uint32_t)features.width, (uint32_t)features.height, 3, 0, 1, 0};
    find_exif(blob, page);
    return DS_OK;
}

DsStatus
webp_file_pixels(Blob blob, const RawPage *page, uint8_t *pixels, DsError *err)
{
    WebPDecoderConfig config;
    VP8StatusCode code;

    if (!WebPInitDecoderConfig(&config))
        return image_damaged(err, "WebP", "the libwebp found is not the one this was built for");
    config.output.colorspace = MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = pixels;
    config.output.u.RGBA.stride = (int)page->width * 3;
    config.output.u.RGBA.size = (size_t)page->width * 3 * page->height;
    code = WebPDecode(blob.data, blob.n, &config);
    return code == VP8_STATUS_OK ? DS_OK : failed(code, blob.n, err);
}
