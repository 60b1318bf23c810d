/* schedule_test.c - admission, fairness and memory, decided without a thread, a socket or a model.
 *
 * A small world plays the engine: a document sends its body at once, its pages are decoded in a tick each, and each
 * step of the engine gives every slot one unit. */
#include "check.h"
#include "lines.h"
#include "schedule.h"
#include "wire.h"

#define MB      (1u << 20)
#define STEP_MS 20

static const ScheduleLimits usual = {
    .max_inflight_bytes = 256 * MB, .max_waiting = 1000, .slots = 4, .reads_lines = false};

static const bool all[2] = {true, true};

static Ask
ask_of(int class_, uint32_t role, uint64_t bytes)
{
    Ask a = {.class_ = class_, .role = role, .database = 1, .reads = true, .bytes = bytes};

    return a;
}

static int
admit_all(Schedule *s)
{
    int n = 0;

    while (schedule_admit(s))
        n++;
    return n;
}

static void
bodies(void)
{
    Schedule s;
    Ask asks[200];
    bool bounded = true;
    int served = 0;

    schedule_init(&s, &usual);
    for (int i = 0; i < 200; i++)
    {
        asks[i] = ask_of(WIRE_INTERACTIVE, 1, 50 * MB);
        schedule_enter(&s, &asks[i]);
    }
    promise("nobody gets GO while the model loads", schedule_admit(&s) == NULL);
    s.ready = true;
    for (int round = 0; round < 400 && served < 200; round++)
    {
        admit_all(&s);
        bounded = bounded && s.held[0] + s.held[1] <= 128 * MB;
        for (int i = 0; i < 200; i++)
            if (asks[i].state == ASK_ADMITTED)
            {
                schedule_leave(&s, &asks[i]);
                served++;
                break;
            }
    }
    promise("200 documents of 50 MB: never more than half of max_inflight_bytes is held", bounded);
    promise("and each of them gets its turn", served == 200 && s.held[0] == 0 && s.waiting == 0);
}

static void
one_too_big(void)
{
    Schedule s;
    Ask big = ask_of(WIRE_INTERACTIVE, 1, 500 * MB), small = ask_of(WIRE_INTERACTIVE, 2, MB);

    schedule_init(&s, &usual);
    s.ready = true;
    schedule_enter(&s, &small);
    schedule_admit(&s);
    schedule_enter(&s, &big);
    promise("a document over the room waits while anything is held", schedule_admit(&s) == NULL);
    schedule_leave(&s, &small);
    promise("and gets in when nothing is", schedule_admit(&s) == &big);
}

static void
full_queue(void)
{
    ScheduleLimits few = usual;
    Schedule s;
    Ask asks[12];
    int entered = 0;

    few.max_waiting = 10;
    schedule_init(&s, &few);
    for (int i = 0; i < 12; i++)
    {
        asks[i] = ask_of(WIRE_BULK, 1, MB);
        entered += schedule_enter(&s, &asks[i]);
    }
    promise("the eleventh of max_waiting 10 is refused", entered == 10);
    schedule_leave(&s, &asks[0]);
    promise("one who leaves makes room", schedule_enter(&s, &asks[11]));
}

/* ---- the small world ---- */

typedef struct World
{
    Schedule s;
    Ask asks[400];
    int left[400]; /* units of the page that is with the engine, per ask; 0: none */
    int done[400]; /* pages */
    int n;
} World;

static void
world_init(World *w)
{
    memset(w, 0, sizeof *w);
    schedule_init(&w->s, &usual);
    w->s.ready = true;
}

static void
world_ask(World *w, int class_, uint32_t role, int pages)
{
    Ask *a = &w->asks[w->n++];

    *a = ask_of(class_, role, MB);
    a->pages_left = pages;
    a->page_bytes = 4 * MB;
    schedule_enter(&w->s, a);
}

static void
world_work(World *w, int i, int units_per_page)
{
    Ask *a = &w->asks[i];

    if (--w->left[i] % units_per_page)
        return;
    w->done[i]++;
    schedule_page_end(&w->s, a->class_, 0, false);
    if (a->pages_left == 0 && w->left[i] == 0)
        schedule_leave(&w->s, a);
}

/* The page of a class that was taken out first and has not been worked at in this step, or -1. */
static int
world_oldest(const World *w, int class_, const bool *worked)
{
    int oldest = -1;

    for (int i = 0; i < w->n; i++)
        if (w->left[i] > 0 && !worked[i] && w->asks[i].class_ == class_ &&
            (oldest < 0 || w->asks[i].served < w->asks[oldest].served))
            oldest = i;
    return oldest;
}

/* One unit for each of the first `slots` pages of the class that is due; STEP_MS. */
static void
world_step(World *w, int units_per_page)
{
    bool worked[400] = {false}, has[2];
    int class_, i;
    Ask *a;

    admit_all(&w->s);
    while ((a = schedule_next_page(&w->s, all)) != NULL)
    {
        w->s.pixels -= schedule_prepared(&w->s, a->class_, a->page_bytes);
        w->left[a - w->asks] += units_per_page;
    }
    for (int c = 0; c < 2; c++)
        has[c] = world_oldest(w, c, worked) >= 0;
    class_ = schedule_step_class(&w->s, has, false);
    for (int slot = 0; slot < usual.slots && (i = world_oldest(w, class_, worked)) >= 0; slot++)
    {
        worked[i] = true;
        world_work(w, i, units_per_page);
    }
    schedule_worked(&w->s, class_, STEP_MS);
}

static int
world_done(const World *w, int class_, uint32_t role)
{
    int n = 0;

    for (int i = 0; i < w->n; i++)
        if (w->asks[i].class_ == class_ && (role == 0 || w->asks[i].role == role))
            n += w->done[i];
    return n;
}

static void
classes(void)
{
    World w;
    int bulk, waited = 0;

    world_init(&w);
    for (int i = 0; i < 200; i++)
        world_ask(&w, WIRE_BULK, 1, 1);
    for (int i = 0; i < 50; i++)
        world_step(&w, 10);
    world_ask(&w, WIRE_INTERACTIVE, 2, 1);
    while (world_done(&w, WIRE_INTERACTIVE, 0) == 0 && waited < 1000)
        world_step(&w, 10), waited++;
    promise("an interactive page passes 200 bulk pages: its 10 steps of work are the next 10",
            waited <= 10);

    world_init(&w);
    for (int i = 0; i < 50; i++)
        world_ask(&w, WIRE_BULK, 1, 1);
    for (int i = 0; i < 300; i++)
        world_ask(&w, WIRE_INTERACTIVE, (uint32_t)i % 3 + 2, 1);
    for (int i = 0; i < 400; i++)
        world_step(&w, 10);
    bulk = world_done(&w, WIRE_BULK, 0);
    printf("#    of 400 steps: %d bulk pages, %d interactive\n", bulk,
           world_done(&w, WIRE_INTERACTIVE, 0));
    promise("bulk is not starved by a flood of interactive work, nor gets more than a quarter",
            bulk >= 5 && bulk <= 40);
}

/* How the engine's steps are shared. */
static void
steps(void)
{
    static const bool both[2] = {true, true}, bulk_alone[2] = {[WIRE_BULK] = true};
    Schedule s;
    int disturbed = 0, bulk = 0, all_steps = 0;

    schedule_init(&s, &usual);
    s.living[WIRE_BULK] = 1;
    for (int i = 0; i < 1000; i++)
        schedule_worked(&s, WIRE_BULK, STEP_MS);
    promise("while an interactive page is being prepared, bulk is not stepped",
            schedule_step_class(&s, bulk_alone, true) == -1);
    promise("and while there is none, it is",
            schedule_step_class(&s, bulk_alone, false) == WIRE_BULK);
    s.living[WIRE_INTERACTIVE] = 1;
    for (int i = 0; i < 24; i++)
    {
        disturbed += schedule_step_class(&s, both, false) == WIRE_BULK;
        schedule_worked(&s, WIRE_INTERACTIVE, STEP_MS);
    }
    promise("a call of 480 ms that comes to a busy engine is never interrupted", disturbed == 0);
    for (; all_steps < 900; all_steps++)
    {
        int class_ = schedule_step_class(&s, both, false);

        bulk += class_ == WIRE_BULK;
        schedule_worked(&s, class_, STEP_MS);
    }
    promise("of a flood that does not end bulk gets its ninth", bulk >= 95 && bulk <= 101);
    schedule_worked(&s, WIRE_INTERACTIVE, 5000);
    promise("waiting for pages that do not come ends too",
            schedule_step_class(&s, bulk_alone, true) == WIRE_BULK);
}

/* One caller after the other's answer: 50 ms of preparing, 150 ms of steps, and `gap` ms until the next. Bulk always has
 * pages. Returns bulk's share of the time in which the engine was at hand. */
static double
share_beside_calls(int gap)
{
    static const bool both[2] = {true, true}, bulk_alone[2] = {[WIRE_BULK] = true};
    Schedule s;
    double now = 0, bulk = 0, begun = 0, worked = 0;

    schedule_init(&s, &usual);
    s.living[WIRE_BULK] = 2;
    while (now < 60000)
    {
        bool called = now >= begun, coming = called && now < begun + 50;
        bool here = called && !coming;
        int class_, ms;

        s.living[WIRE_INTERACTIVE] = called;
        class_ = schedule_step_class(&s, here ? both : bulk_alone, coming);
        ms = class_ < 0 ? 10 : STEP_MS;
        schedule_worked(&s, class_ < 0 ? WIRE_INTERACTIVE : class_, ms);
        now += ms;
        bulk += class_ == WIRE_BULK ? ms : 0;
        worked += class_ == WIRE_INTERACTIVE ? ms : 0;
        if (here && worked >= 150)
            begun = now + gap, worked = 0;
    }
    return bulk / now;
}

static void
calls_in_a_row(void)
{
    double none = share_beside_calls(0), some = share_beside_calls(STEP_MS / 2);

    printf("#    bulk's share beside calls back to back: %.3f, with a moment between them %.3f\n",
           none, some);
    promise("beside calls that follow each other at once bulk gets its ninth",
            none > 0.1 && none < 0.13);
    promise("a moment between them is bulk's, and it gets no less for it",
            some > 0.1 && some < 0.2);
}

static void
roles(void)
{
    World w;
    int small, large;

    world_init(&w);
    for (int i = 0; i < 100; i++)
        world_ask(&w, WIRE_BULK, 7, 1);
    for (int i = 0; i < 10; i++)
        world_ask(&w, WIRE_BULK, 8, 1);
    for (int i = 0; i < 80; i++)
        world_step(&w, 10);
    small = world_done(&w, WIRE_BULK, 8), large = world_done(&w, WIRE_BULK, 7);
    promise("the role with ten documents is served beside the one with a hundred",
            small == 10 && large >= 10 && large < 40);

    world_init(&w);
    world_ask(&w, WIRE_BULK, 7, 300);
    for (int i = 0; i < 10; i++)
        world_ask(&w, WIRE_BULK, 7, 1);
    for (int i = 0; i < 80; i++)
        world_step(&w, 10);
    promise("a document of 300 pages does not hold up single pages of the same role",
            world_done(&w, WIRE_BULK, 7) - w.done[0] == 10);
}

static Ask *
world_add(World *w, bool many, int pages, uint64_t bytes)
{
    Ask *a;

    world_ask(w, WIRE_INTERACTIVE, 7, pages);
    a = &w->asks[w->n - 1];
    a->many = many;
    a->bytes = bytes;
    return a;
}

static int
steps_until_done(World *w, const Ask *a, int most)
{
    int n = 0;

    for (; n < most && w->done[a - w->asks] == 0; n++)
        world_step(w, 10);
    return n;
}

/* dsocr_read of books, and short calls of the same role beside it. */
static void
one_of_many(void)
{
    static const uint64_t sizes[] = {MB, 9 * MB, 40 * MB};

    for (int k = 0; k < 3; k++)
    {
        World w;
        uint64_t most = 0;
        int longest = 0, books = 0;
        char what[100];

        world_init(&w);
        for (int i = 0; i < 64; i++)
            world_add(&w, true, 300, sizes[k]);
        for (int i = 0; i < 10; i++)
            world_step(&w, 10);
        most = w.s.held[POOL_MANY];
        for (int i = 0; i < 64; i++)
            books += w.asks[i].state == ASK_ADMITTED;
        for (int i = 0; i < 10; i++)
        {
            int n = steps_until_done(&w, world_add(&w, false, 1, 5 * MB), 1000);

            longest = n > longest ? n : longest;
        }
        snprintf(what, sizeof what,
                 "beside 64 books of %d MB a page of the same role waits for pages, not for books",
                 (int)(sizes[k] / MB));
        promise(what, longest <= 40);
        snprintf(what, sizeof what,
                 "and the books fill the engine: %d are in, or three quarters of the room", books);
        promise(what, (books >= usual.slots || most + sizes[k] > 96 * MB) && most <= 96 * MB);
    }
}

static void
passing(void)
{
    Schedule s;
    Ask book = ask_of(WIRE_INTERACTIVE, 1, 60 * MB), large = ask_of(WIRE_INTERACTIVE, 2, 90 * MB),
        small[20], other = ask_of(WIRE_INTERACTIVE, 3, 8 * MB);
    int passed = 0;

    schedule_init(&s, &usual);
    s.limits.slots = 100;
    s.ready = true;
    book.many = true;
    schedule_enter(&s, &book), schedule_admit(&s);
    schedule_enter(&s, &large), schedule_enter(&s, &other);
    promise("a large document waits for room, and so does what comes after it",
            schedule_admit(&s) == NULL);
    for (int i = 0; i < 20; i++)
    {
        small[i] = ask_of(WIRE_INTERACTIVE, 4, 4 * MB);
        schedule_enter(&s, &small[i]);
    }
    while (schedule_admit(&s))
        passed++;
    promise("small ones pass it, until they hold a quarter of the room",
            passed == 8 && large.state == ASK_WAITING && other.state == ASK_WAITING);
    schedule_leave(&s, &book);
    promise("then it is its turn, whatever small ones do", schedule_admit(&s) == &large);
}

static void
alone(void)
{
    Schedule s;
    Ask a = ask_of(WIRE_BULK, 1, MB), suspect = ask_of(WIRE_BULK, 1, MB),
        b = ask_of(WIRE_BULK, 1, MB);

    schedule_init(&s, &usual);
    s.ready = true;
    suspect.alone = true;
    schedule_enter(&s, &a), schedule_enter(&s, &suspect), schedule_enter(&s, &b);
    promise("the one before a suspect gets in", schedule_admit(&s) == &a);
    promise("the suspect waits for it, and nobody passes", schedule_admit(&s) == NULL);
    schedule_leave(&s, &a);
    promise("then the suspect", schedule_admit(&s) == &suspect);
    promise("nobody beside it", schedule_admit(&s) == NULL);
    schedule_leave(&s, &suspect);
    promise("then the next", schedule_admit(&s) == &b);
}

static void
pages_ahead(void)
{
    Schedule s;
    Ask a = ask_of(WIRE_BULK, 1, MB);
    int n = 0;

    schedule_init(&s, &usual);
    s.ready = true;
    a.pages_left = 500, a.page_bytes = 100 * MB;
    schedule_enter(&s, &a), schedule_admit(&s);
    promise("the first page of 100 MB is decoded", schedule_next_page(&s, all) == &a);
    promise("the second waits for the pixels of the first", schedule_next_page(&s, all) == NULL);
    schedule_prepared(&s, WIRE_BULK, 100 * MB);
    promise("which are few once the engine has its views", schedule_next_page(&s, all) == &a);
    schedule_page_end(&s, WIRE_BULK, 25 * MB, false),
        schedule_page_end(&s, WIRE_BULK, 100 * MB, true);
    promise("all is given back",
            s.pixels == 0 && s.living[WIRE_BULK] == 0 && s.preparing[WIRE_BULK] == 0);
    a.page_bytes = MB;
    promise("who prepares interactive pages alone gets none of them",
            schedule_next_page(&s, (bool[2]){[WIRE_INTERACTIVE] = true}) == NULL);
    for (; schedule_next_page(&s, all); n++)
        schedule_prepared(&s, WIRE_BULK, MB);
    promise("of 498 small pages one more than the slots is taken out", n == usual.slots + 1);

    schedule_init(&s, &usual);
    s.limits.reads_lines = true;
    s.preparing[WIRE_BULK] = 2, s.pixels = 110 * MB;
    promise("of a line reader's page all pixels may stay, in grey",
            schedule_prepared(&s, WIRE_BULK, 10 * MB) == 10 * MB && s.pixels == 110 * MB);
    promise("of a large one the sheet beside the views",
            schedule_prepared(&s, WIRE_BULK, 100 * MB) == 25 * MB + LINES_MAX_PIXELS &&
                s.pixels == 35 * MB + LINES_MAX_PIXELS);
}

int
main(void)
{
    bodies();
    one_too_big();
    full_queue();
    classes();
    steps();
    calls_in_a_row();
    roles();
    one_of_many();
    passing();
    alone();
    pages_ahead();
    return report();
}
