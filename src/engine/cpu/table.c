/* table.c - the cpu backend: fills the table of operations and asks the processor, once. */
#include "cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_THREADS 256
#define KERNELS     4 /* of all processors */

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

/* AVX-VNNI, of a processor and a system that have AVX2: not every compiler's __builtin_cpu_supports knows it. */
#if defined(__x86_64__)
static bool
has_avxvnni(void)
{
    unsigned a, b, c, d;

    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}
#endif

/* Of what this processor and its system have, the fastest first: __builtin_cpu_supports asks both, cpuid and xgetbv. */
static int
find_kernels(const CpuKernels *found[KERNELS])
{
    int n = 0;

#if defined(__x86_64__)
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");

    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vnni"))
        found[n++] = &cpu_kernels_avx512;
    if (avx2 && has_avxvnni())
        found[n++] = &cpu_kernels_avxvnni;
    if (avx2)
        found[n++] = &cpu_kernels_avx2;
#endif
    found[n++] = &cpu_kernels_generic;
    return n;
}

/* By name; int8: whether it was that of the integers. Otherwise err->detail says which names there are. */
static const CpuKernels *
choose_kernels(const char *name, bool *int8, DsError *err)
{
    const CpuKernels *found[KERNELS];
    char names[128] = "";
    int n = find_kernels(found);

    *int8 = false;
    if (strcmp(name, "auto") == 0)
        return found[0];
    for (int i = n - 1; i >= 0; i--)
    {
        size_t end = strlen(names);

        *int8 = found[i]->int8_name && strcmp(name, found[i]->int8_name) == 0;
        if (*int8 || strcmp(name, found[i]->name) == 0)
            return found[i];
        if (found[i]->int8_name)
            snprintf(names + end, sizeof names - end, ", %s, %s", found[i]->name,
                     found[i]->int8_name);
    }
    ds_fail(err, DS_UNSUPPORTED, "backend \"%.40s\" is not available", name);
    ds_detail(err, "This processor has: generic%s.", names);
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
    bool int8;
    Device *d;

    *out = NULL;
    if (backend == NULL || strcmp(backend, "auto") == 0)
        backend = pinned && *pinned ? pinned : "auto";
    if ((kernels = choose_kernels(backend, &int8, err)) == NULL)
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
    d->int8 = int8;
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
    return d->int8 ? d->kernels->int8_name : d->kernels->name;
}

void
device_allow_int8(Device *d, bool allow)
{
    if (d->automatic)
        d->int8 = allow && d->kernels->pack;
}
