/* lanes_avx512.h - sixteen lanes as one register of AVX-512. lanes.h says what they are for. */
#ifndef DS_LANES_AVX512_H
#define DS_LANES_AVX512_H

#include "cpu.h"

/* Tiles of the products, rows and panels: 16 sums keep both units busy, and the rows' places fit into registers too. */
#define TILES(X) X(1, 8) X(2, 4) X(3, 4) X(4, 2) X(5, 2) X(6, 2) X(7, 2) X(8, 2)

#define ROWS_MOST   8
#define PANELS_MOST 8

typedef __m512 Floats;
typedef __m512i Ints;

INLINE Floats
all(float x)
{
    return _mm512_set1_ps(x);
}

INLINE Floats
load(const float *p)
{
    return _mm512_loadu_ps(p);
}

INLINE void
store(float *p, Floats v)
{
    _mm512_storeu_ps(p, v);
}

INLINE __mmask16
lanes_below(int n)
{
    return (__mmask16)((1u << n) - 1);
}

INLINE Floats
load_first(const float *p, int n)
{
    return _mm512_maskz_loadu_ps(lanes_below(n), p);
}

INLINE void
store_first(float *p, int n, Floats v)
{
    _mm512_mask_storeu_ps(p, lanes_below(n), v);
}

INLINE Floats
first(int n, Floats v, float rest)
{
    return _mm512_mask_blend_ps(lanes_below(n), _mm512_set1_ps(rest), v);
}

#define EACH(name, operation)                                                                      \
    INLINE Floats name(Floats a, Floats b)                                                         \
    {                                                                                              \
        return operation(a, b);                                                                    \
    }

EACH(add, _mm512_add_ps)
EACH(sub, _mm512_sub_ps)
EACH(mul, _mm512_mul_ps)
EACH(divide, _mm512_div_ps)
EACH(lesser, _mm512_min_ps)
EACH(greater, _mm512_max_ps)

INLINE Floats
muladd(Floats a, Floats b, Floats c)
{
    return _mm512_fmadd_ps(a, b, c);
}

INLINE Floats
size_of(Floats v)
{
    return _mm512_abs_ps(v);
}

INLINE Floats
negative(Floats v)
{
    return _mm512_xor_ps(v, _mm512_set1_ps(-0.0f));
}

INLINE Floats
nearest(Floats v)
{
    return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

INLINE Floats
two_to(Floats n)
{
    __m512i exponent = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));

    return _mm512_castsi512_ps(_mm512_slli_epi32(exponent, 23));
}

INLINE __m256
halves_added(Floats v)
{
    return _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
}

INLINE __m256
halves_greater(Floats v)
{
    return _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
}

/* Rows become columns. */
INLINE void
transpose(Floats v[16])
{
    __m512 t[16];
    __m512d u[16];

    UNROLL for (int i = 0; i < 16; i += 2)
    {
        t[i] = _mm512_unpacklo_ps(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(v[i], v[i + 1]);
    }
    UNROLL for (int i = 0; i < 16; i += 4) UNROLL for (int j = 0; j < 2; j++)
    {
        __m512d a = _mm512_castps_pd(t[i + j]), b = _mm512_castps_pd(t[i + j + 2]);

        u[i + 2 * j] = _mm512_unpacklo_pd(a, b);
        u[i + 2 * j + 1] = _mm512_unpackhi_pd(a, b);
    }
    /* Quarter q of u[4 i + j] is column 4 q + j of the rows 4 i .. 4 i + 3. */
    UNROLL for (int j = 0; j < 4; j++)
    {
        __m512d even = _mm512_shuffle_f64x2(u[j], u[4 + j], 0x88),
                odd = _mm512_shuffle_f64x2(u[j], u[4 + j], 0xDD),
                even2 = _mm512_shuffle_f64x2(u[8 + j], u[12 + j], 0x88),
                odd2 = _mm512_shuffle_f64x2(u[8 + j], u[12 + j], 0xDD);

        v[j] = _mm512_castpd_ps(_mm512_shuffle_f64x2(even, even2, 0x88));
        v[j + 4] = _mm512_castpd_ps(_mm512_shuffle_f64x2(odd, odd2, 0x88));
        v[j + 8] = _mm512_castpd_ps(_mm512_shuffle_f64x2(even, even2, 0xDD));
        v[j + 12] = _mm512_castpd_ps(_mm512_shuffle_f64x2(odd, odd2, 0xDD));
    }
}

/* ---- bf16 ---- */

INLINE Floats
load_bf16(const void *p)
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(p));

    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

/* 16 outputs of one k lie in their order. */
INLINE Floats
load_bf16_panel(const void *p)
{
    return load_bf16(p);
}

INLINE void
store_bf16_panel(void *p, Floats v) /* of numbers that are bf16 */
{
    __m512i wide = _mm512_srli_epi32(_mm512_castps_si512(v), 16);

    _mm256_storeu_si256(p, _mm512_cvtepi32_epi16(wide));
}

/* ---- integers ---- */

typedef uint8_t Narrow; /* of x, X_OFFSET more than it is; w has its sign where x has it not */

#define TOGETHER 4 /* in a lane */
#define X_OFFSET 128
#define X_SIGNS  0x80808080u

INLINE Ints
load_ints(const void *p) /* aligned */
{
    return _mm512_load_si512(p);
}

INLINE Floats
floats_of(Ints v)
{
    return _mm512_cvtepi32_ps(v);
}

/* Rounded, X_OFFSET more. */
INLINE void
store_narrow(Narrow *p, Floats v)
{
    __m512i all32 = _mm512_add_epi32(_mm512_cvtps_epi32(v), _mm512_set1_epi32(X_OFFSET));

    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(all32));
}

/* Each lane: acc += the products of four 8-bit integers; `some` are the same in all lanes. In place, as written: of the
 * intrinsic gcc 12 makes copies, and spills. */
INLINE void
add_products(Ints *acc, int32_t some, Ints w)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*acc) : "v"(_mm512_set1_epi32(some)), "v"(w));
}

#endif
