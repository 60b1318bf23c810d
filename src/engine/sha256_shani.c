/* sha256_shani.c - SHA-256's rounds with the processor's own instructions: four words, two rounds at a time.
 *
 * Sharp edge: the instructions want the state as (A B E F) and (C D G H), highest word first. */
#include "sha256_blocks.h"

#include <immintrin.h>

static inline __m128i
words(const uint8_t *block, int i)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0bll, 0x0405060700010203ll);

    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(block + 16 * i)), big_endian);
}

static inline void
four_rounds(__m128i *abef, __m128i *cdgh, __m128i w, int i)
{
    __m128i x = _mm_add_epi32(w, _mm_loadu_si128((const __m128i *)(sha256_constants + 4 * i)));

    *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, x);
    *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32(x, 0x0e));
}

/* The next four words from the last sixteen: w0 oldest. */
static inline __m128i
next_words(__m128i w0, __m128i w1, __m128i w2, __m128i w3)
{
    __m128i x = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4));

    return _mm_sha256msg2_epu32(x, w3);
}

static void
one_block(__m128i *abef, __m128i *cdgh, const uint8_t *block)
{
    __m128i w[4] = {words(block, 0), words(block, 1), words(block, 2), words(block, 3)};

    for (int i = 0; i < 16; i++)
    {
        four_rounds(abef, cdgh, w[i % 4], i);
        if (i < 12)
            w[i % 4] = next_words(w[i % 4], w[(i + 1) % 4], w[(i + 2) % 4], w[(i + 3) % 4]);
    }
}

void
sha256_blocks_shani(uint32_t state[8], const uint8_t *blocks, size_t n)
{
    __m128i dcba = _mm_loadu_si128((const __m128i *)state);
    __m128i hgfe = _mm_loadu_si128((const __m128i *)(state + 4));
    __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);
    __m128i abef = _mm_alignr_epi8(cdab, efgh, 8), cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);

    for (; n > 0; n--, blocks += 64)
    {
        __m128i abef_before = abef, cdgh_before = cdgh;

        one_block(&abef, &cdgh, blocks);
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    cdab = _mm_shuffle_epi32(abef, 0x1b); /* (F E B A) */
    efgh = _mm_shuffle_epi32(cdgh, 0xb1); /* (D C H G) */
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(cdab, efgh, 0xf0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(efgh, cdab, 8));
}
