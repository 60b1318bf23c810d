/* vision_test.c - views of several sizes in one call: their order, their independence (P8), and what is refused. */
#include "toy_run.h"

#define VIEWS 9

static char toy[256];
static uint8_t pixels[256 * 256 * 3 + VIEWS * 301];

/* Every third view is a whole page, the others are crops; all differ. */
static View
view(int i)
{
    int side = i % 3 == 2 ? 256 : 192;

    return (View){side, side, 3, pixels + i * 301};
}

static void
test_order(Device *d, const Model *m, const char *backend)
{
    View views[VIEWS];
    size_t hidden = (size_t)model_facts(m)->hidden;
    float *all = calloc(VIEWS * 16, hidden * sizeof *all), *one = calloc(16, hidden * sizeof *one),
          *at = all;
    VisionTrace traces[VIEWS];
    bool same = true, shapes = true;
    char what[128];
    DsError err;

    for (int i = 0; i < VIEWS; i++)
        views[i] = view(i);
    promise("views of two sizes are encoded in one call",
            vision_encode(m, d, views, VIEWS, all, NULL, traces, &err) == DS_OK);
    for (int i = 0; i < VIEWS; i++)
    {
        int rows = vision_rows(m, &views[i]), side = i % 3 == 2 ? 4 : 3;

        same &= vision_encode(m, d, &views[i], 1, one, NULL, NULL, &err) == DS_OK &&
                memcmp(one, at, (size_t)rows * hidden * sizeof *one) == 0;
        shapes &= rows == side * side && traces[i].sam_shape[0] == 64 &&
                  traces[i].sam_shape[1] == side && traces[i].sam_shape[2] == side &&
                  traces[i].encoder_shape[0] == rows && traces[i].encoder_shape[1] == 64;
        at += (size_t)rows * hidden;
        free(traces[i].sam);
        free(traces[i].encoder);
    }
    snprintf(what, sizeof what,
             "P8, %s: each gives the bits it gives alone, in the order of the views", backend);
    promise(what, same);
    promise("traces have their shapes", shapes);
    free(all);
    free(one);
}

static void
test_grey(Device *d, const Model *m)
{
    uint8_t *rgb = malloc(192 * 192 * 3);
    View grey = {192, 192, 1, pixels}, tripled = {192, 192, 3, rgb};
    float a[9 * 80], b[9 * 80];
    DsError err;

    for (int i = 0; i < 192 * 192 * 3; i++)
        rgb[i] = pixels[i / 3];
    promise("a grey view is one of three equal channels",
            vision_encode(m, d, &grey, 1, a, NULL, NULL, &err) == DS_OK &&
                vision_encode(m, d, &tripled, 1, b, NULL, NULL, &err) == DS_OK &&
                memcmp(a, b, sizeof a) == 0);
    free(rgb);
}

static void
test_refused(Device *d, const Model *m)
{
    View odd = {128, 128, 3, pixels}, swapped = {256, 192, 3, pixels};
    float rows[16 * 80];
    DsError err;

    promise("a size without a query table has no rows",
            vision_rows(m, &odd) == 0 && vision_rows(m, &swapped) == 0);
    promise("and is refused by its size",
            vision_encode(m, d, &odd, 1, rows, NULL, NULL, &err) == DS_BAD_REQUEST &&
                strstr(err.message, "128 x 128"));
    promise("no views are no work", vision_encode(m, d, &odd, 0, rows, NULL, NULL, &err) == DS_OK);
}

static int
count(void *calls)
{
    return ++*(int *)calls == 2;
}

static void
test_cancel(Device *d, const Model *m)
{
    View views[VIEWS];
    float *rows = calloc(VIEWS * 16, 80 * sizeof *rows);
    int calls = 0;
    DsError err = {0};

    for (int i = 0; i < VIEWS; i++)
        views[i] = view(i);
    d->tick = count;
    d->tick_arg = &calls;
    for (int i = 0; i < 1000 && vision_encode(m, d, views, VIEWS, rows, NULL, NULL, &err) == DS_OK;
         i++)
        ;
    promise("a tick that says stop cancels, and is not asked again",
            err.status == DS_CANCELLED && calls == 2);
    d->tick = NULL;
    promise("the next call works", vision_encode(m, d, views, 1, rows, NULL, NULL, &err) == DS_OK);
    free(rows);
}

static void
test_backend(const char *backend)
{
    Device *d = NULL;
    Model *m;
    DsError err;

    if (!promise("the toy opens", device_open(backend, 2, NULL, NULL, &d, &err) == DS_OK &&
                                      model_open(toy, d, &m, &err) == DS_OK))
    {
        device_close(d);
        return;
    }
    test_order(d, m, backend);
    test_grey(d, m);
    test_refused(d, m);
    test_cancel(d, m);
    model_close(m);
    device_close(d);
}

int
main(void)
{
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * i / 7 + i / 13);
    if (promise("mktoy writes the toy", make_toy("toy-vision", "", toy, sizeof toy)))
        each_backend(test_backend);
    return report();
}
