/* tensor.h - dtype, shape, pointer; checked sizes.
 *
 * A Tensor says what a weight file holds; a Weight is a matrix ready to be multiplied with, in the order the
 * file has it and, where the backend wants it so, in its own. Activations are plain float arrays whose shape
 * stands in brackets beside them. */
#ifndef DS_TENSOR_H
#define DS_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TENSOR_RANK 5

typedef enum DType
{
    DTYPE_BF16,
    DTYPE_F16,
    DTYPE_F32,
    DTYPE_OTHER, /* known to the file format, of no use as a weight */
} DType;

typedef struct Tensor
{
    DType dtype;
    int rank;
    int64_t shape[TENSOR_RANK];
    uint64_t count;   /* product of shape */
    const void *data; /* row-major; not aligned beyond a byte */
} Tensor;

/* w[n, k]: y[n] = sum over k of w[n, k] x[k]. */
typedef struct Weight
{
    DType dtype;
    int n, k;
    const void *data; /* [n, k] as stored */
    void *packed;     /* the backend's own form, or NULL */
    bool int8;        /* which is of 8-bit integers */
} Weight;

static inline float
bf16_to_f32(uint16_t h)
{
    uint32_t bits = (uint32_t)h << 16;
    float f;

    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Round to nearest even. Not for NaN. */
static inline uint16_t
f32_to_bf16(float f)
{
    uint32_t bits;

    memcpy(&bits, &f, sizeof bits);
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

static inline float
f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023;
    uint32_t bits;
    float f;

    if (exponent == 0) /* zero or subnormal: fraction * 2^-24 is exact */
        return (sign ? -1.0f : 1.0f) * (float)fraction * 0x1p-24f;
    bits = sign | (exponent == 31 ? 255u : exponent + 112) << 23 | fraction << 13;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Element i of an array that need not be aligned. */
static inline float
dtype_load(DType dtype, const void *data, uint64_t i)
{
    uint16_t h;
    float f;

    if (dtype == DTYPE_F32)
    {
        memcpy(&f, (const char *)data + i * 4, sizeof f);
        return f;
    }
    memcpy(&h, (const char *)data + i * 2, sizeof h);
    return dtype == DTYPE_BF16 ? bf16_to_f32(h) : f16_to_f32(h);
}

static inline size_t
dtype_size(DType dtype)
{
    return dtype == DTYPE_F32 ? 4 : 2;
}

#endif
