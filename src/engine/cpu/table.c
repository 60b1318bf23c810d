/* table.c - the cpu backend: fills the table of operations and asks the processor, once. */
#include "cpu.h"

#include <sched.h>
#include <stdlib.h>

#define MAX_THREADS 256
#define INT16       "avx2-int16"

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
};

bool
cpu_has_avx2(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return false;
#endif
}

static const CpuKernels *
choose_kernels(const char *name)
{
#if defined(__x86_64__)
    if ((strcmp(name, "auto") == 0 || strcmp(name, "avx2") == 0 || strcmp(name, INT16) == 0) &&
        cpu_has_avx2())
        return &cpu_kernels_avx2;
#endif
    if (strcmp(name, "auto") == 0 || strcmp(name, "generic") == 0)
        return &cpu_kernels_generic;
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
    Device *d;

    *out = NULL;
    if (backend == NULL || strcmp(backend, "auto") == 0)
        backend = pinned && *pinned ? pinned : "auto";
    if ((kernels = choose_kernels(backend)) == NULL)
    {
        ds_fail(err, DS_UNSUPPORTED, "backend \"%.40s\" is not available", backend);
        ds_detail(err, "This processor has: generic%s.", cpu_has_avx2() ? ", avx2, " INT16 : "");
        return ds_hint(err, "Say auto, or unset DSOCR_CPU.");
    }
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
    d->int16 = strcmp(backend, INT16) == 0;
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
    return d->int16 ? INT16 : d->kernels->name;
}

void
device_allow_int16(Device *d, bool allow)
{
    if (d->automatic)
        d->int16 = allow && d->kernels->pack;
}
