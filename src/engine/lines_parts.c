/* lines_parts.c - Sheet -> Parts: connected pieces of ink, as runs of dark pixels.
 *
 * Runs keep the exact shape of each part in a fraction of the page's size, so that a view can leave out
 * what belongs to other lines. Two runs touch when they meet at an edge or a corner. */
#include "lines_inner.h"

#include <string.h>

typedef uint8_t Bytes __attribute__((vector_size(16)));

/* Index of the next pixel from x on that is ink; w if none is. The first byte in memory is a word's lowest. */
static int
next_ink(const uint8_t *row, int x, int w, int threshold)
{
    Bytes most = (Bytes){0} + (uint8_t)threshold;

    for (; x + 16 <= w; x += 16)
    {
        Bytes b, is_ink;
        uint64_t half[2];

        memcpy(&b, row + x, 16);
        is_ink = (Bytes)(b <= most);
        memcpy(half, &is_ink, 16);
        if (half[0])
            return x + __builtin_ctzll(half[0]) / 8;
        if (half[1])
            return x + 8 + __builtin_ctzll(half[1]) / 8;
    }
    while (x < w && row[x] > threshold)
        x++;
    return x;
}

static int
next_paper(const uint8_t *row, int x, int w, int threshold)
{
    while (x < w && row[x] <= threshold)
        x++;
    return x;
}

/* Where the stretch from x on ends that is all of a rule or all not. */
static int
same_class(const uint8_t *rules, int x, int end)
{
    int from = x;

    while (x < end && !rules[x] == !rules[from])
        x++;
    return x;
}

/* Runs of one row, rules apart from letters. */
static int
row_runs(const Sheet *s, const uint8_t *mask, int y, Run *out)
{
    const uint8_t *row = s->grey + (size_t)y * s->w;
    const uint8_t *rules = mask ? mask + (size_t)y * s->w : NULL;
    int n = 0;

    for (int x = next_ink(row, 0, s->w, s->threshold); x < s->w; n++)
    {
        int end = next_paper(row, x, s->w, s->threshold);

        if (rules)
            end = same_class(rules, x, end);
        out[n] = (Run){x, end, rules && rules[x], 0};
        x = next_ink(row, end, s->w, s->threshold);
    }
    return n;
}

/* Whether a run begins at x, which is not the row's first pixel: ink behind paper, or of a rule behind what is none. */
static bool
begins(const uint8_t *row, const uint8_t *rules, int x, int threshold)
{
    return row[x] <= threshold && (row[x - 1] > threshold || (rules && !rules[x] != !rules[x - 1]));
}

/* The same of the 16 pixels from x on: how many. */
static int
begin_of_16(const uint8_t *row, const uint8_t *rules, int x, int threshold)
{
    Bytes most = (Bytes){0} + (uint8_t)threshold, one = (Bytes){0} + 1, b, before, change;
    uint64_t half[2];

    memcpy(&b, row + x, 16);
    memcpy(&before, row + x - 1, 16);
    change = (Bytes)(before > most);
    if (rules)
    {
        Bytes rule, rule_before;

        memcpy(&rule, rules + x, 16);
        memcpy(&rule_before, rules + x - 1, 16);
        change |= (Bytes)(rule == 0) ^ (Bytes)(rule_before == 0);
    }
    change &= (Bytes)(b <= most) & one;
    memcpy(half, &change, 16);
    return (int)((half[0] + half[1]) * 0x0101010101010101u >> 56); /* the sum of all bytes */
}

/* How many runs row_runs finds, without looking for each. */
static int
count_row_runs(const uint8_t *row, const uint8_t *rules, int w, int threshold)
{
    int n = row[0] <= threshold, x = 1;

    for (; x + 16 <= w; x += 16)
        n += begin_of_16(row, rules, x, threshold);
    for (; x < w; x++)
        n += begins(row, rules, x, threshold);
    return n;
}

int
sheet_count_runs(const Sheet *s, const uint8_t *rules)
{
    int64_t n = 0;

    for (int y = 0; y < s->h && n <= LINES_MAX_RUNS; y++)
        n += count_row_runs(s->grey + (size_t)y * s->w, rules ? rules + (size_t)y * s->w : NULL,
                            s->w, s->threshold);
    return (int)n;
}

int
runs_from(const Parts *p, int y, int x)
{
    int lo = p->row_start[y], hi = p->row_start[y + 1];

    while (lo < hi)
    {
        int mid = (lo + hi) / 2;

        if (p->runs[mid].x1 <= x)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

int
run_darkness(const Sheet *s, const Run *run, int y)
{
    int dark = 0;

    for (int x = run->x0; x < run->x1; x++)
        dark += 255 - s->grey[(size_t)y * s->w + x];
    return dark;
}

int
row_ink(const Parts *p, int part, int y)
{
    const Box *b = &p->parts[part].box;
    int ink = 0;

    for (int i = runs_from(p, y, b->x0); i < p->row_start[y + 1] && p->runs[i].x0 < b->x1; i++)
        ink += p->runs[i].part == part ? p->runs[i].x1 - p->runs[i].x0 : 0;
    return ink;
}

static int
root_of(int *parent, int i)
{
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

/* Joins the runs of row y with those of the row above that touch them. The root is the earliest run. */
static void
join_row(const Parts *p, int y, int *parent)
{
    int a = p->row_start[y - 1], b = p->row_start[y];
    int a_end = b, b_end = p->row_start[y + 1];

    while (a < a_end && b < b_end)
    {
        if (p->runs[a].rule == p->runs[b].rule && p->runs[a].x0 <= p->runs[b].x1 &&
            p->runs[b].x0 <= p->runs[a].x1)
        {
            int ra = root_of(parent, a), rb = root_of(parent, b);

            if (ra < rb)
                parent[rb] = ra;
            else
                parent[ra] = rb;
        }
        if (p->runs[a].x1 < p->runs[b].x1)
            a++;
        else
            b++;
    }
}

static void
add_run(Part *part, const Run *r, int y)
{
    if (part->area == 0)
        part->box = (Box){r->x0, y, r->x1, y + 1};
    part->box.x0 = r->x0 < part->box.x0 ? r->x0 : part->box.x0;
    part->box.x1 = r->x1 > part->box.x1 ? r->x1 : part->box.x1;
    part->box.y1 = y + 1;
    part->area += r->x1 - r->x0;
    part->nruns++;
    part->rule = r->rule;
    part->row = -1;
}

/* Numbers the roots in page order and gathers each part's box and area. */
static bool
number_parts(Parts *p, int *parent, Arena *arena)
{
    for (int i = 0; i < p->nruns; i++)
        if (parent[i] == i)
            p->runs[i].part = p->nparts++;
        else
            p->runs[i].part = p->runs[root_of(parent, i)].part;
    p->parts = arena_array(arena, p->nparts + 1, sizeof(Part));
    if (!p->parts)
        return false;
    for (int y = 0; y < p->h; y++)
        for (int i = p->row_start[y]; i < p->row_start[y + 1]; i++)
            add_run(&p->parts[p->runs[i].part], &p->runs[i], y);
    return true;
}

bool
parts_find(const Sheet *s, const uint8_t *rules, int nruns, Arena *arena, Parts *out)
{
    int *parent = arena_alloc(arena, sizeof(int) * ((size_t)nruns + 1));

    *out = (Parts){.w = s->w, .h = s->h, .nruns = nruns};
    out->runs = arena_alloc(arena, sizeof(Run) * ((size_t)nruns + 1));
    out->row_start = arena_alloc(arena, sizeof(int) * ((size_t)s->h + 1));
    if (!parent || !out->runs || !out->row_start)
        return false;
    out->row_start[0] = 0;
    for (int y = 0; y < s->h; y++)
        out->row_start[y + 1] =
            out->row_start[y] + row_runs(s, rules, y, out->runs + out->row_start[y]);
    for (int i = 0; i < nruns; i++)
        parent[i] = i;
    for (int y = 1; y < s->h; y++)
        join_row(out, y, parent);
    return number_parts(out, parent, arena);
}
