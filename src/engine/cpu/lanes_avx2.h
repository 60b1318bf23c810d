/* lanes_avx2.h - sixteen lanes as two registers of AVX2. lanes.h says what they are for. */
#ifndef DS_LANES_AVX2_H
#define DS_LANES_AVX2_H

#include "cpu.h"

/* Tiles of the products, rows and panels: six rows of 16 sums fill twelve of sixteen registers. */
#define TILES(X) X(1, 4) X(2, 2) X(3, 2) X(4, 1) X(5, 1) X(6, 1)

#define ROWS_MOST   6
#define PANELS_MOST 4

typedef struct Floats
{
    __m256 low, high;
} Floats;

typedef struct Ints
{
    __m256i low, high;
} Ints;

INLINE Floats
all(float x)
{
    return (Floats){_mm256_set1_ps(x), _mm256_set1_ps(x)};
}

INLINE Floats
load(const float *p)
{
    return (Floats){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}

INLINE void
store(float *p, Floats v)
{
    _mm256_storeu_ps(p, v.low);
    _mm256_storeu_ps(p + 8, v.high);
}

/* Eight lanes, set where a lane's number is below n. */
INLINE __m256i
lanes_below(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINE Floats
load_first(const float *p, int n)
{
    return (Floats){_mm256_maskload_ps(p, lanes_below(n)),
                    n > 8 ? _mm256_maskload_ps(p + 8, lanes_below(n - 8)) : _mm256_setzero_ps()};
}

INLINE void
store_first(float *p, int n, Floats v)
{
    _mm256_maskstore_ps(p, lanes_below(n), v.low);
    if (n > 8)
        _mm256_maskstore_ps(p + 8, lanes_below(n - 8), v.high);
}

INLINE Floats
first(int n, Floats v, float rest)
{
    __m256 other = _mm256_set1_ps(rest);

    return (Floats){_mm256_blendv_ps(other, v.low, _mm256_castsi256_ps(lanes_below(n))),
                    _mm256_blendv_ps(other, v.high, _mm256_castsi256_ps(lanes_below(n - 8)))};
}

#define EACH(name, operation)                                                                      \
    INLINE Floats name(Floats a, Floats b)                                                         \
    {                                                                                              \
        return (Floats){operation(a.low, b.low), operation(a.high, b.high)};                       \
    }

EACH(add, _mm256_add_ps)
EACH(sub, _mm256_sub_ps)
EACH(mul, _mm256_mul_ps)
EACH(divide, _mm256_div_ps)
EACH(lesser, _mm256_min_ps)
EACH(greater, _mm256_max_ps)

INLINE Floats
muladd(Floats a, Floats b, Floats c)
{
    return (Floats){_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}

INLINE Floats
size_of(Floats v)
{
    __m256 sign = _mm256_set1_ps(-0.0f);

    return (Floats){_mm256_andnot_ps(sign, v.low), _mm256_andnot_ps(sign, v.high)};
}

INLINE Floats
negative(Floats v)
{
    __m256 sign = _mm256_set1_ps(-0.0f);

    return (Floats){_mm256_xor_ps(sign, v.low), _mm256_xor_ps(sign, v.high)};
}

INLINE Floats
nearest(Floats v)
{
    return (Floats){_mm256_round_ps(v.low, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
                    _mm256_round_ps(v.high, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}

INLINE __m256
two_to_8(__m256 n)
{
    __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));

    return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}

INLINE Floats
two_to(Floats n)
{
    return (Floats){two_to_8(n.low), two_to_8(n.high)};
}

INLINE __m256
halves_added(Floats v)
{
    return _mm256_add_ps(v.low, v.high);
}

INLINE __m256
halves_greater(Floats v)
{
    return _mm256_max_ps(v.low, v.high);
}

INLINE void
transpose_8(__m256 *v[8])
{
    __m256 t[8], u[8];

    UNROLL for (int i = 0; i < 8; i += 2)
    {
        t[i] = _mm256_unpacklo_ps(*v[i], *v[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(*v[i], *v[i + 1]);
    }
    UNROLL for (int i = 0; i < 8; i += 4) UNROLL for (int j = 0; j < 2; j++)
    {
        u[i + 2 * j] = _mm256_shuffle_ps(t[i + j], t[i + j + 2], 0x44);
        u[i + 2 * j + 1] = _mm256_shuffle_ps(t[i + j], t[i + j + 2], 0xEE);
    }
    UNROLL for (int j = 0; j < 4; j++)
    {
        *v[j] = _mm256_permute2f128_ps(u[j], u[4 + j], 0x20);
        *v[4 + j] = _mm256_permute2f128_ps(u[j], u[4 + j], 0x31);
    }
}

/* Rows become columns: each quarter by itself, and two of them change places. */
INLINE void
transpose(Floats v[16])
{
    UNROLL for (int from = 0; from < 16; from += 8)
    {
        __m256 *low[8], *high[8];

        UNROLL for (int i = 0; i < 8; i++)
        {
            low[i] = &v[from + i].low;
            high[i] = &v[from + i].high;
        }
        transpose_8(low);
        transpose_8(high);
    }
    UNROLL for (int i = 0; i < 8; i++)
    {
        __m256 high = v[i].high;

        v[i].high = v[i + 8].low;
        v[i + 8].low = high;
    }
}

/* ---- bf16 ---- */

INLINE __m256
load_bf16_8(const void *p)
{
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(p));

    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

INLINE Floats
load_bf16(const void *p)
{
    return (Floats){load_bf16_8(p), load_bf16_8((const char *)p + 16)};
}

/* 16 outputs of one k: lane i of eight holds output i below and output i + 8 above. */
INLINE Floats
load_bf16_panel(const void *p)
{
    __m256i both = _mm256_loadu_si256((const __m256i *)p);

    return (Floats){
        _mm256_castsi256_ps(_mm256_slli_epi32(both, 16)),
        _mm256_castsi256_ps(_mm256_and_si256(both, _mm256_set1_epi32((int)0xFFFF0000u)))};
}

INLINE void
store_bf16_panel(void *p, Floats v) /* of numbers that are bf16 */
{
    __m256i low = _mm256_srli_epi32(_mm256_castps_si256(v.low), 16);

    _mm256_storeu_si256(p, _mm256_or_si256(low, _mm256_castps_si256(v.high)));
}

/* ---- integers ---- */

/* Of x, X_OFFSET more than it is; w has its sign where x has it not. TOGETHER lie in a lane. */
#ifdef __AVXVNNI__
typedef uint8_t Narrow;
#define TOGETHER 4
#define X_OFFSET 128
#define X_SIGNS  0x80808080u
#else
typedef int16_t Narrow;
#define TOGETHER 2
#define X_OFFSET 0
#define X_SIGNS  0u
#endif

INLINE Ints
load_ints(const void *p) /* aligned */
{
    return (Ints){_mm256_load_si256(p), _mm256_load_si256((const __m256i *)p + 1)};
}

INLINE Floats
floats_of(Ints v)
{
    return (Floats){_mm256_cvtepi32_ps(v.low), _mm256_cvtepi32_ps(v.high)};
}

#ifdef __AVXVNNI__

/* Rounded, X_OFFSET more. */
INLINE void
store_narrow(Narrow *p, Floats v)
{
    __m256i both = _mm256_packs_epi32(_mm256_cvtps_epi32(v.low), _mm256_cvtps_epi32(v.high));
    __m256i ordered = _mm256_permute4x64_epi64(both, 0xD8);
    __m128i bytes =
        _mm_packs_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1));

    _mm_storeu_si128((__m128i *)p, _mm_xor_si128(bytes, _mm_set1_epi32((int)X_SIGNS)));
}

/* acc += the products of four, in place: of the intrinsic gcc 12 makes copies, and spills. */
INLINE void
add_products_8(__m256i *acc, __m256i a, __m256i b)
{
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(*acc) : "x"(a), "x"(b));
}

#else

/* Rounded, as 16 bits each. */
INLINE void
store_narrow(Narrow *p, Floats v)
{
    __m256i both = _mm256_packs_epi32(_mm256_cvtps_epi32(v.low), _mm256_cvtps_epi32(v.high));

    _mm256_storeu_si256((__m256i *)p, _mm256_permute4x64_epi64(both, 0xD8));
}

/* acc += the products of two, in place: left alone, gcc multiplies all first and spills. */
INLINE void
add_products_8(__m256i *acc, __m256i a, __m256i b)
{
    __asm__("vpaddd %1, %0, %0" : "+x"(*acc) : "x"(_mm256_madd_epi16(a, b)));
}

#endif

/* Each lane: acc += the products of TOGETHER integers; `some` are the same in all lanes. */
INLINE void
add_products(Ints *acc, int32_t some, Ints w)
{
    __m256i a = _mm256_set1_epi32(some);

    add_products_8(&acc->low, a, w.low);
    add_products_8(&acc->high, a, w.high);
}

#endif
