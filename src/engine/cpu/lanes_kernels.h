/* lanes_kernels.h - the table of the fast twins, for kernels_avx2.c, kernels_avxvnni.c and kernels_avx512.c to fill in. */
#ifndef DS_LANES_KERNELS_H
#define DS_LANES_KERNELS_H

#include "lanes_attend.h"
#include "lanes_gemm.h"
#include "lanes_int8.h"
#include "lanes_pointwise.h"

static size_t
packed_size(const Weight *w)
{
    return w->int8 ? int8_size(w) : panels_size(w);
}

static void
pack(const Weight *w, void *to, int n0, int n1)
{
    (w->int8 ? int8_pack : pack_panels)(w, to, n0, n1);
}

static void
linear(float *y, int ldy, const float *x, int ldx, int rows, const Weight *w, int n0, int n1,
       const float *b, Finish finish)
{
    (w->int8 ? int8_linear : linear_panels)(y, ldy, x, ldx, rows, w, n0, n1, b, finish);
}

#define LANES_KERNELS(called)                                                                      \
    {                                                                                              \
        .name = called, .int8_name = called "-int8", .packed_size = packed_size, .pack = pack,     \
        .linear = linear, .gelu = gelu_lanes, .silu_times = silu_times_lanes,                      \
        .layer_norm = layer_norm_lanes, .rms_norm = rms_norm_lanes, .attend = attend_lanes,        \
        .key_panel = key_panel_lanes                                                               \
    }

#endif
