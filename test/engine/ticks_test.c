/* ticks_test.c - however slow the machine, a caller can stop the engine in the middle of its largest operations: at the
 * sizes of the published model the plain loops ask between pieces that stay small. Work is counted, not time. */
#include "../../src/engine/cpu/cpu.h"

#include "check.h"

/* Multiply-adds between two ticks. A billion a second is what the plain products do at their slowest, and attention, which
 * walks across its keys and values, a fifth of that: so each is 10 ms, and wants to be far below 100. */
#define PRODUCTS_MOST 10e6
#define ATTEND_MOST   2e6

static Device *device;
static long ticks;

static int
count(void *arg)
{
    (void)arg;
    ticks++;
    return 0;
}

static double
cpu_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static float *
zeros(size_t n)
{
    return calloc(n, sizeof(float));
}

static Weight
weight(int n, int k)
{
    return (Weight){DTYPE_BF16, n, k, calloc((size_t)n * (size_t)k, 2), NULL};
}

static void
promise_ticks(const char *what, double work, double most, double start)
{
    double ms = cpu_ms() - start;

    if (!promise(what, ticks > 0 && work / (double)ticks <= most))
        printf("     %.1f million multiply-adds between two ticks\n", work / (double)ticks / 1e6);
    printf("     %ld ticks, %.1f ms of this processor each\n", ticks,
           ms / (double)(ticks + !ticks));
}

static void
products(const char *what, int rows, int n, int k)
{
    Weight w = weight(n, k);
    float *x = zeros((size_t)rows * k), *y = zeros((size_t)rows * n);
    double start = cpu_ms();

    ticks = 0;
    device->ops->linear(device, y, n, x, k, rows, &w, NULL, FINISH_SET);
    promise_ticks(what, (double)rows * n * k, PRODUCTS_MOST, start);
    free(x);
    free(y);
    free((void *)w.data);
}

static void
convolution(const char *what, int side, int channels, int n)
{
    Weight w = weight(n, 9 * channels);
    size_t places = (size_t)side * side;
    float *x = zeros(places * channels), *y = zeros(places * n);
    double start = cpu_ms();

    ticks = 0;
    device->ops->conv3(device, y, x, 1, side, side, channels, 1, &w);
    promise_ticks(what, (double)places * w.n * w.k, PRODUCTS_MOST, start);
    free(x);
    free(y);
    free((void *)w.data);
}

static void
experts(const char *what, int rows, int hidden, int width)
{
    Mlp m = {weight(width, hidden), weight(width, hidden), weight(hidden, width)};
    float *x = zeros((size_t)rows * hidden), *y = zeros((size_t)rows * hidden),
          *h = zeros((size_t)rows * width);
    double start = cpu_ms();

    ticks = 0;
    device->ops->mlp(device, y, h, x, rows, &m);
    promise_ticks(what, 3.0 * rows * width * hidden, PRODUCTS_MOST, start);
    free(x);
    free(y);
    free(h);
    free((void *)m.gate.data);
    free((void *)m.up.data);
    free((void *)m.down.data);
}

/* `rows` queries of one head that see all of a grid: terms of places, products with keys, and with values. */
static void
attention(const char *what, int rows, int side, int dim)
{
    int keys = side * side, room = keys_room(keys), terms = keys_room(2 * side - 1);
    float *k = zeros((size_t)room * dim), *v = zeros((size_t)room * dim),
          *rel = zeros((size_t)terms * dim), *q = zeros((size_t)rows * dim),
          *out = zeros((size_t)rows * dim);
    Grid grid = {side, side, rel, rel};
    AttendJob job = {.from = {k, v, 1, dim, room},
                     .keys = keys,
                     .q = q,
                     .out = out,
                     .ldq = dim,
                     .ldo = dim,
                     .rows = rows,
                     .heads = 1,
                     .scale = 1,
                     .grid = &grid};
    double start = cpu_ms();

    ticks = 0;
    device->ops->attend(device, &job, 1);
    promise_ticks(what, 3.0 * rows * keys * dim, ATTEND_MOST, start);
    free(k);
    free(v);
    free(rel);
    free(q);
    free(out);
}

int
main(void)
{
    DsError err;

    if (!promise("the plain loops open",
                 device_open("generic", 1, count, NULL, &device, &err) == DS_OK))
        return report();
    cpu_tick_every = 0; /* after each piece */
    products("SAM's widest product", 96, 3072, 768);
    products("and the one back", 96, 768, 3072);
    convolution("its last convolution", 4, 512, 1024);
    attention("its attention over a page", 36, 64, 64);
    attention("its attention in a window", 196, 14, 64);
    experts("the decoder's first layer", 32, 1280, 6848);
    products("the logits", 1, 129280, 1280);
    device_close(device);
    return report();
}
