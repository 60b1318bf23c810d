/* views_test.c - the grid rule (spec 3.2), the whole view (3.4), and the toy's hashes (14.1). */
#include "../../src/engine/views.h"

#include "check.h"
#include "image_files.h"

static const ViewSizes full = {1024, 1024, 768, 768, 2, 6, 127};
static const ViewSizes toy = {256, 256, 192, 192, 2, 6, 127};

static void
test_grid(void)
{
    static const struct
    {
        int w, h, columns, rows;
    } cases[] = {
        {768, 768, 1, 1},   {769, 768, 2, 2},   {800, 600, 3, 2},   {1000, 800, 2, 2},
        {2500, 2000, 3, 2}, {1240, 1754, 2, 3}, {1700, 2200, 2, 3}, {2480, 3508, 2, 3},
        {1920, 1080, 2, 1}, {1750, 1000, 2, 1}, {2100, 1200, 3, 2}, {3000, 1000, 3, 1},
        {5000, 1000, 5, 1}, {400, 2400, 1, 6},
    };
    char what[64];
    int c, r;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    {
        views_grid(cases[i].w, cases[i].h, &full, &c, &r);
        snprintf(what, sizeof what, "spec 3.2: %d x %d has %d x %d crops", cases[i].w, cases[i].h,
                 cases[i].columns, cases[i].rows);
        promise(what, c == cases[i].columns && r == cases[i].rows);
    }
    views_grid(300, 220, &toy, &c, &r);
    promise("spec 14.1: the toy's 300 x 220 has 3 x 2 crops", c == 3 && r == 2);
}

/* Where the page lies on the canvas: rows and columns that are not padding. */
static bool
lies_at(int w, int h, int x, int y, int got_w, int got_h)
{
    uint8_t *in = calloc((size_t)w * h, 1); /* black */
    Image im = {.width = w, .height = h, .channels = 1, .pixels = in};
    View whole = {0};
    Views views;
    Arena arena;
    bool ok;
    int across = 0, down = 0;

    arena_init(&arena, 0);
    ok = views_cut(&im, &full, &arena, &views, NULL) == DS_OK;
    if (ok)
        whole = views.views[views.n - 1];
    ok = ok && whole.width == 1024 && whole.height == 1024;
    for (int i = 0; ok && i < 1024; i++)
    {
        across += whole.pixels[512 * 1024 + i] == 0;
        down += whole.pixels[i * 1024 + 512] == 0;
    }
    ok = ok && across == got_w && down == got_h && whole.pixels[y * 1024 + x] == 0 &&
         (x == 0 || whole.pixels[y * 1024 + x - 1] == 127) &&
         (y == 0 || whole.pixels[(y - 1) * 1024 + x] == 127);
    arena_free(&arena);
    free(in);
    return ok;
}

static void
test_whole(void)
{
    promise("spec 3.4: 333 x 777 is 439 wide at 292", lies_at(333, 777, 292, 0, 439, 1024));
    promise("spec 3.4: 2048 x 1001 is 500 high at 262", lies_at(2048, 1001, 0, 262, 1024, 500));
    promise("spec 3.4: 2048 x 1003 is 502 high at 261", lies_at(2048, 1003, 0, 261, 1024, 502));
    promise("spec 3.4: 1240 x 1754 is 724 wide at 150", lies_at(1240, 1754, 150, 0, 724, 1024));
    promise("spec 3.4: 50 x 60 is scaled up to 853 wide at 86", lies_at(50, 60, 86, 0, 853, 1024));
    promise("a square fills the canvas", lies_at(300, 300, 0, 0, 1024, 1024));
}

static void
test_toy(void)
{
    static uint8_t px[220][300][3], page[384][576][3];
    Image im = {.width = 300, .height = 220, .channels = 3, .pixels = px[0][0]};
    Views v;
    Arena arena;
    bool same = true;

    for (int y = 0; y < 220; y++)
        for (int x = 0; x < 300; x++)
            for (int c = 0; c < 3; c++)
                px[y][x][c] = (uint8_t)(7 * x + 13 * y + 50 * c + 3 * ((x * y) % 31));
    promise("spec 14.1: the toy image", fnv1a(px[0][0], sizeof px) == 0xc41a77e2092fc1dc);
    arena_init(&arena, 0);
    if (!promise("its views",
                 views_cut(&im, &toy, &arena, &v, NULL) == DS_OK && v.n == 7 && v.columns == 3))
        return;
    promise("spec 14.1: the whole view's bytes, last in order",
            fnv1a(v.views[6].pixels, 256 * 256 * 3) == 0xf4dd88ccbfa21924);
    for (int t = 0; t < 6; t++)
        for (int y = 0; y < 192; y++)
            memcpy(page[t / 3 * 192 + y][t % 3 * 192], v.views[t].pixels + (size_t)y * 192 * 3,
                   192 * 3);
    promise("spec 14.1: the crops put together, row by row",
            fnv1a(page[0][0], sizeof page) == 0x4354e7e1771b9b22);
    for (int i = 0; i < v.n; i++)
        same = same && v.views[i].channels == 3;
    promise("every view has the image's channels", same);
    arena_free(&arena);
}

static void
test_refused(void)
{
    uint8_t *in = calloc(4000, 1);
    Image thin = {.width = 4000, .height = 1, .channels = 1, .pixels = in};
    Views v;
    Arena arena;
    DsError err = {0};

    arena_init(&arena, 0);
    promise("a page 4000 times as long as high is refused",
            views_cut(&thin, &full, &arena, &v, &err) == DS_BAD_INPUT && err.hint[0]);
    arena_free(&arena);
    arena_init(&arena, 1 << 20);
    thin.width = thin.height = 50;
    promise("a full arena is DS_LIMIT", views_cut(&thin, &full, &arena, &v, &err) == DS_LIMIT);
    arena_free(&arena);
    free(in);
}

int
main(void)
{
    test_grid();
    test_whole();
    test_toy();
    test_refused();
    return report();
}
