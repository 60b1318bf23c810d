/* kernels_avx2.c - the fast twins (lanes.h) for AVX2 and FMA. */
#include "lanes_kernels.h"

const CpuKernels cpu_kernels_avx2 = LANES_KERNELS("avx2");
