/* kernels_avxvnni.c - the fast twins (lanes.h) for AVX2 and FMA with integer products (AVX-VNNI), of processors that have
 * these and no AVX-512. */
#include "lanes_kernels.h"

const CpuKernels cpu_kernels_avxvnni = LANES_KERNELS("avxvnni");
