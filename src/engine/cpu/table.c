/* table.c - the cpu backend: fills the table of operations and asks the processor, once. */
#include "cpu.h"

#include <sched.h>
#include <stdlib.h>

#define MAX_THREADS 256

static const Backend cpu_backend = {
    .name = "cpu",
    .pack = cpu_pack,
    .unpack = cpu_unpack,
    .linear = cpu_linear,
    .conv3 = cpu_conv3,
    .layer_norm = cpu_layer_norm,
    .rms_norm = cpu_rms_norm,
    .rope = cpu_rope,
    .keep = cpu_keep,
    .attend = cpu_attend,
    .mlp = cpu_mlp,
    .route = cpu_route,
    .experts = cpu_experts,
    .rows_of = cpu_rows_of,
    .add_rows = cpu_add_rows,
    .patches = cpu_patches,
};

const CpuKernels cpu_kernels_generic = {
    .name = "generic",
    .linear = linear_plain,
    .gelu = gelu_plain,
    .silu_times = silu_times_plain,
    .layer_norm = layer_norm_plain,
    .rms_norm = rms_norm_plain,
    .attend = attend_plain,
    .key_panel = key_panel_plain,
};

/* Of what this processor and its system have, the fastest first: __builtin_cpu_supports asks both, cpuid and xgetbv. */
static int
find_kernels(const CpuKernels *found[3])
{
    int n = 0;

#if defined(__x86_64__)
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");

    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vnni"))
        found[n++] = &cpu_kernels_avx512;
    if (avx2)
        found[n++] = &cpu_kernels_avx2;
#endif
    found[n++] = &cpu_kernels_generic;
    return n;
}

/* By name; int16: whether it was that of the integers. Otherwise err->detail says which names there are. */
static const CpuKernels *
choose_kernels(const char *name, bool *int16, DsError *err)
{
    const CpuKernels *found[3];
    int n = find_kernels(found);

    *int16 = false;
    if (strcmp(name, "auto") == 0)
        return found[0];
    for (int i = 0; i < n; i++)
    {
        *int16 = found[i]->int16_name && strcmp(name, found[i]->int16_name) == 0;
        if (*int16 || strcmp(name, found[i]->name) == 0)
            return found[i];
    }
    ds_fail(err, DS_UNSUPPORTED, "backend \"%.40s\" is not available", name);
    ds_detail(err, "This processor has: generic%s%s.", n > 1 ? ", avx2, avx2-int16" : "",
              n > 2 ? ", avx512, avx512-int16" : "");
    ds_hint(err, "Say auto, or unset DSOCR_CPU.");
    return NULL;
}

static int
processors(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;

    return n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n;
}

DsStatus
device_open(const char *backend, int threads, int (*tick)(void *arg), void *tick_arg, Device **out,
            DsError *err)
{
    const char *pinned = getenv("DSOCR_CPU");
    const CpuKernels *kernels;
    bool int16;
    Device *d;

    *out = NULL;
    if (backend == NULL || strcmp(backend, "auto") == 0)
        backend = pinned && *pinned ? pinned : "auto";
    if ((kernels = choose_kernels(backend, &int16, err)) == NULL)
        return DS_UNSUPPORTED;
    if (threads <= 0)
        threads = processors();
    if (threads > MAX_THREADS)
        threads = MAX_THREADS;
    if ((d = calloc(1, sizeof *d)) == NULL || (d->pool = pool_open(threads)) == NULL)
    {
        free(d);
        return ds_fail(err, DS_BROKEN, "cannot start %d compute threads", threads);
    }
    d->ops = &cpu_backend;
    d->kernels = kernels;
    d->threads = threads;
    d->tick = tick;
    d->tick_arg = tick_arg;
    d->automatic = strcmp(backend, "auto") == 0;
    d->int16 = int16;
    *out = d;
    return DS_OK;
}

void
device_close(Device *d)
{
    if (d == NULL)
        return;
    pool_close(d->pool);
    free(d->workspace);
    free(d);
}

const char *
device_name(const Device *d)
{
    return d->int16 ? d->kernels->int16_name : d->kernels->name;
}

void
device_allow_int16(Device *d, bool allow)
{
    if (d->automatic)
        d->int16 = allow && d->kernels->pack;
}
