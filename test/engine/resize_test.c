/* resize_test.c - resize.c equals Pillow to the last bit: hand-made vectors of spec 3.5, golden hashes, and
 * Pillow itself where it is installed. */
#include "../../src/engine/views.h"

#include "check.h"
#include "image_files.h"

#include <time.h>

static uint8_t stream[65521];

/* The pixels of test/reference/pillow.py. */
static uint8_t *
stream_pixels(size_t n)
{
    uint8_t *p = malloc(n);

    for (size_t i = 0; i < n; i++)
        p[i] = stream[i % sizeof stream];
    return p;
}

static void
make_stream(void)
{
    unsigned s = 1;

    for (size_t i = 0; i < sizeof stream; i++)
    {
        stream[i] = (uint8_t)(s >> 3);
        s = (s * 75 + 74) % 65537;
    }
}

typedef struct Case
{
    char kind[16];
    int w, h, channels, new_w, new_h;
    unsigned long long hash;
} Case;

static bool
next_case(FILE *f, Case *c)
{
    return fscanf(f, "%15s %d %d %d %d %d %llx", c->kind, &c->w, &c->h, &c->channels, &c->new_w,
                  &c->new_h, &c->hash) == 7;
}

static uint64_t
resized(const Case *c, uint8_t *in)
{
    size_t n = (size_t)c->new_w * c->new_h * c->channels;
    Arena arena;
    uint8_t *out;
    uint64_t hash = 0;

    arena_init(&arena, 0);
    out = arena_alloc(&arena, n);
    if (resize_bicubic(in, c->w, c->h, c->channels, out, c->new_w, c->new_h, &arena, NULL) == DS_OK)
        hash = fnv1a(out, n);
    arena_free(&arena);
    return hash;
}

static uint64_t
padded(const Case *c, uint8_t *in)
{
    Image im = {.width = c->w, .height = c->h, .channels = c->channels, .pixels = in};
    ViewSizes sizes = {
        .base_w = c->new_w, .base_h = c->new_h, .tile_w = 1 << 20, .tile_h = 1 << 20, .pad = 127};
    Views views;
    Arena arena;
    uint64_t hash = 0;

    arena_init(&arena, 0);
    if (views_cut(&im, &sizes, &arena, &views, NULL) == DS_OK && views.n == 1)
        hash = fnv1a(views.views[0].pixels, (size_t)c->new_w * c->new_h * c->channels);
    arena_free(&arena);
    return hash;
}

static int
compare_all(FILE *f, const char *with)
{
    Case c;
    int n = 0;

    for (; f && next_case(f, &c); n++)
    {
        uint8_t *in = stream_pixels((size_t)c.w * c.h * c.channels);
        bool pad = strcmp(c.kind, "pad") == 0;
        char what[128];

        snprintf(what, sizeof what, "%s %d x %d, %d channels, to %d x %d: the bits of %s", c.kind,
                 c.w, c.h, c.channels, c.new_w, c.new_h, with);
        promise(what, (pad ? padded(&c, in) : resized(&c, in)) == c.hash);
        free(in);
    }
    return n;
}

static void
test_golden(void)
{
    FILE *f = fopen("test/golden/resize.tsv", "r");

    promise("at least 9 pairs of sizes have golden hashes", compare_all(f, "the golden hash") >= 9);
    if (f)
        fclose(f);
}

static void
test_pillow(void)
{
    FILE *f;

    if (system("/usr/bin/python3 -c 'import PIL' 2>/dev/null") != 0)
    {
        skipped("comparison with Pillow itself",
                "/usr/bin/python3 has no PIL (Debian: python3-pil)");
        return;
    }
    f = popen("/usr/bin/python3 test/reference/pillow.py", "r");
    promise("at least 9 pairs of sizes were compared with Pillow itself",
            compare_all(f, "Pillow") >= 9);
    if (f)
        pclose(f);
}

static bool
row_is(const uint8_t *in, int w, const uint8_t *want, int new_w)
{
    uint8_t out[64];
    Arena arena;
    bool across, down;

    arena_init(&arena, 0);
    across = resize_bicubic(in, w, 1, 1, out, new_w, 1, &arena, NULL) == DS_OK &&
             memcmp(out, want, new_w) == 0;
    down = resize_bicubic(in, 1, w, 1, out, 1, new_w, &arena, NULL) == DS_OK &&
           memcmp(out, want, new_w) == 0;
    arena_free(&arena);
    return across && down;
}

static void
test_spec(void)
{
    static const uint8_t want[3][4] = {{14, 70, 134, 190}, {27, 83, 147, 203}, {40, 96, 160, 216}};
    static const uint8_t step[10] = {0, 0, 128, 255, 255, 255, 255, 128, 0, 0};
    static const uint8_t comb[12] = {255, 120, 19, 236, 128, 19, 236, 128, 19, 236, 135, 0};
    uint8_t ramp[4][6], out[3][4], row[16];
    Arena arena;

    arena_init(&arena, 0);
    for (int y = 0; y < 4; y++)
        for (int x = 0; x < 6; x++)
            ramp[y][x] = (uint8_t)(40 * x + 10 * y);
    promise("spec 3.5: a ramp of 6 x 4 to 4 x 3",
            resize_bicubic(ramp[0], 6, 4, 1, out[0], 4, 3, &arena, NULL) == DS_OK &&
                memcmp(out, want, sizeof out) == 0);
    for (int i = 0; i < 16; i++)
        row[i] = i >= 4 && i <= 11 ? 255 : 0;
    promise("spec 3.5: 16 pixels with a step to 10, across and down", row_is(row, 16, step, 10));
    for (int i = 0; i < 8; i++)
        row[i] = i % 2 ? 0 : 255;
    promise("spec 3.5: 8 alternating pixels to 12, across and down", row_is(row, 8, comb, 12));
    promise("no size at all is refused",
            resize_bicubic(row, 4, 1, 1, out[0], 0, 1, &arena, NULL) == DS_BAD_INPUT);
    arena_free(&arena);
    arena_init(&arena, 4096);
    promise("a full arena is DS_LIMIT",
            resize_bicubic(stream, 100, 100, 3, stream, 50, 50, &arena, NULL) == DS_LIMIT);
    arena_free(&arena);
}

/* Not a promise: a number to look at. */
static void
show_speed(void)
{
    uint8_t *in = stream_pixels((size_t)2480 * 3508 * 3);
    Case c = {.w = 2480, .h = 3508, .channels = 3, .new_w = 1536, .new_h = 2304};
    Arena arena;
    struct timespec a, b;
    uint8_t *out = malloc((size_t)c.new_w * c.new_h * 3);

    arena_init(&arena, 0);
    clock_gettime(CLOCK_MONOTONIC, &a);
    resize_bicubic(in, c.w, c.h, 3, out, c.new_w, c.new_h, &arena, NULL);
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("     2480 x 3508 RGB to 1536 x 2304: %.0f ms\n",
           (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6);
    arena_free(&arena);
    free(in);
    free(out);
}

int
main(void)
{
    make_stream();
    test_spec();
    test_golden();
    test_pillow();
    show_speed();
    return report();
}
