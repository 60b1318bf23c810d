#include "cpu.h"
const CpuKernels cpu_kernels_avx2 = {
    .name = "avx2",
    .linear = linear_plain,
    .gelu = gelu_plain,
    .silu_times = silu_times_plain,
    .layer_norm = layer_norm_plain,
    .rms_norm = rms_norm_plain,
    .attend = attend_plain,
};
