/* kernels_avx512.c - the fast twins (lanes.h) for AVX-512 with its integer products (VNNI). */
#include "lanes_kernels.h"

const CpuKernels cpu_kernels_avx512 = LANES_KERNELS("avx512");
