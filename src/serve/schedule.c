/* schedule.c - admission, classes, which page takes the next free slot. */
#include "schedule.h"
#include "wire.h"

#include "../engine/lines.h"

#include <stddef.h>
#include <string.h>

#define LEAD_MS 500 /* of the engine: a few short calls in a row */

static const double weights[2] = {[WIRE_INTERACTIVE] = 8, [WIRE_BULK] = 1};

/* ---- turns ---- */

static uint64_t *
key_turn(Turns *t, const Ask *a)
{
    uint64_t h = ((uint64_t)a->role << 32 | a->database) * 0x9e3779b97f4a7c15ull;

    return &t->keys[a->class_][h >> 56];
}

static void
spend(Turns *t, int class_, double amount)
{
    t->spent[class_] += amount / weights[class_];
}

/* A class that had nothing to do has saved nothing up. */
static void
wake_class(Turns *t, int class_)
{
    if (t->spent[class_] < t->spent[!class_])
        t->spent[class_] = t->spent[!class_];
}

static int
class_due(const Turns *t)
{
    return t->spent[WIRE_BULK] < t->spent[WIRE_INTERACTIVE] ? WIRE_BULK : WIRE_INTERACTIVE;
}

static void
serve_turn(Schedule *s, Turns *t, Ask *a)
{
    s->turn++;
    a->served = s->turn;
    *key_turn(t, a) = s->turn;
    spend(t, a->class_, 1);
}

/* Whether a comes before b inside a class. */
static bool
comes_before(Turns *t, const Ask *a, const Ask *b)
{
    uint64_t ka = *key_turn(t, a), kb = *key_turn(t, b);

    if (ka != kb)
        return ka < kb;
    return a->served != b->served ? a->served < b->served : a->arrival < b->arrival;
}

static Ask *
best_of(Schedule *s, Turns *t, int class_, bool (*may)(const Schedule *, const Ask *))
{
    Ask *best = NULL;

    for (Ask *a = s->first; a; a = a->next)
        if (a->class_ == class_ && may(s, a) && (best == NULL || comes_before(t, a, best)))
            best = a;
    return best;
}

static Pool
pool_of(const Ask *a)
{
    if (a->class_ == WIRE_BULK)
        return POOL_BULK;
    return a->many ? POOL_MANY : POOL_SINGLE;
}

/* ---- coming and going ---- */

void
schedule_init(Schedule *s, const ScheduleLimits *limits)
{
    memset(s, 0, sizeof *s);
    s->limits = *limits;
}

static bool
class_has(const Schedule *s, int class_, AskState state)
{
    for (const Ask *a = s->first; a; a = a->next)
        if (a->class_ == class_ && a->state == state)
            return true;
    return false;
}

bool
schedule_enter(Schedule *s, Ask *a)
{
    if (s->waiting >= s->limits.max_waiting)
        return false;
    if (!class_has(s, a->class_, ASK_WAITING))
        wake_class(&s->admission, a->class_);
    a->state = ASK_WAITING;
    a->arrival = ++s->turn;
    a->served = a->held = 0;
    a->next = NULL;
    a->prev = s->last;
    if (s->last)
        s->last->next = a;
    else
        s->first = a;
    s->last = a;
    s->waiting++;
    return true;
}

void
schedule_hold(Schedule *s, Ask *a, uint64_t bytes)
{
    s->held[pool_of(a)] += bytes - a->held;
    a->held = bytes;
}

void
schedule_leave(Schedule *s, Ask *a)
{
    if (a->state == ASK_OUTSIDE)
        return;
    if (a->state == ASK_ADMITTED)
    {
        s->admitted--;
        s->reading[pool_of(a)] -= a->reads;
        if (a->alone)
            s->alone = false;
    }
    else
        s->waiting--;
    schedule_hold(s, a, 0);
    *(a->prev ? &a->prev->next : &s->first) = a->next;
    *(a->next ? &a->next->prev : &s->last) = a->prev;
    a->state = ASK_OUTSIDE;
}

/* ---- admission ---- */

/* Documents of a pool that may be in at once: enough to keep every slot fed and a few on the way. */
static int
most_reading(const Schedule *s)
{
    return s->limits.slots + 4;
}

static bool
may_enter(const Schedule *s, const Ask *a)
{
    return a->state == ASK_WAITING &&
           (!a->reads || (s->ready && s->reading[pool_of(a)] < most_reading(s)));
}

static bool
may_enter_single(const Schedule *s, const Ask *a)
{
    return pool_of(a) == POOL_SINGLE && may_enter(s, a);
}

static uint64_t
room(const Schedule *s)
{
    return s->limits.max_inflight_bytes / 2;
}

/* A quarter is for those who sit and wait for one document. */
static bool
leaves_no_quarter(const Schedule *s, const Ask *a)
{
    Pool pool = pool_of(a);

    return pool != POOL_SINGLE && s->held[pool] > 0 &&
           s->held[POOL_MANY] + s->held[POOL_BULK] + a->bytes > room(s) / 4 * 3;
}

static bool
has_room(const Schedule *s, const Ask *a)
{
    uint64_t held = s->held[POOL_SINGLE] + s->held[POOL_MANY] + s->held[POOL_BULK] + s->replies;

    return held == 0 || held + a->bytes <= room(s);
}

/* The next of a class, or NULL. */
static Ask *
next_in_turn(Schedule *s, int class_)
{
    Ask *a = best_of(s, &s->admission, class_, may_enter);

    if (a && leaves_no_quarter(s, a))
        a = best_of(s, &s->admission, class_, may_enter_single);
    return a;
}

static bool
is_small(const Schedule *s, const Ask *a)
{
    return pool_of(a) == POOL_SINGLE && a->bytes <= room(s) / 32;
}

static bool
may_pass(const Schedule *s, const Ask *a)
{
    return is_small(s, a) && may_enter(s, a);
}

/* Who may pass a large one that waits for room: small ones, as long as all of them together leave it enough. */
static Ask *
one_that_passes(Schedule *s, const Ask *large)
{
    Ask *a = best_of(s, &s->admission, WIRE_INTERACTIVE, may_pass);
    uint64_t held = 0;

    for (const Ask *b = s->first; b; b = b->next)
        held += is_small(s, b) ? b->held : 0;
    if (a == NULL || large->bytes > room(s) / 4 * 3 || held + a->bytes > room(s) / 4)
        return NULL;
    return has_room(s, a) ? a : NULL;
}

Ask *
schedule_admit(Schedule *s)
{
    int due = class_due(&s->admission);
    Ask *a = next_in_turn(s, due);

    if (s->alone)
        return NULL;
    if (a == NULL)
        a = next_in_turn(s, !due);
    if (a == NULL || (a->alone && s->admitted > 0))
        return NULL;
    /* Nobody else passes the next in turn, or it would wait for ever. */
    if (!has_room(s, a) && (a = one_that_passes(s, a)) == NULL)
        return NULL;
    serve_turn(s, &s->admission, a);
    a->served = 0;
    a->state = ASK_ADMITTED;
    s->waiting--;
    s->admitted++;
    s->reading[pool_of(a)] += a->reads;
    s->alone = a->alone;
    schedule_hold(s, a, a->bytes);
    return a;
}

/* ---- pages ---- */

static bool
has_pages(const Schedule *s, const Ask *a)
{
    (void)s;
    return a->state == ASK_ADMITTED && a->pages_left > 0;
}

/* Whether the engine will soon have too little to do for a class: interactive work looks past bulk work. */
static bool
wants_pages(const Schedule *s, int class_)
{
    int living = s->living[WIRE_INTERACTIVE], preparing = s->preparing[WIRE_INTERACTIVE];
    int units = s->units_left[WIRE_INTERACTIVE];

    if (class_ == WIRE_BULK)
    {
        living += s->living[WIRE_BULK];
        preparing += s->preparing[WIRE_BULK];
        units += s->units_left[WIRE_BULK];
    }
    if (living < 2)
        return true;
    if (living > s->limits.slots)
        return false;
    return !s->limits.reads_lines || units + preparing * s->limits.slots < 2 * s->limits.slots;
}

static bool
pixels_fit(const Schedule *s, const Ask *a)
{
    return s->pixels == 0 || s->pixels + a->page_bytes <= s->limits.max_inflight_bytes / 2;
}

Ask *
schedule_next_page(Schedule *s, const bool may[2])
{
    Turns *t = &s->pages;
    int due = class_due(t);
    Ask *a = may[due] && wants_pages(s, due) ? best_of(s, t, due, has_pages) : NULL;

    if (a == NULL && may[!due] && wants_pages(s, !due))
        a = best_of(s, t, !due, has_pages);
    if (a == NULL || !pixels_fit(s, a))
        return NULL;
    if (s->living[a->class_] == 0)
        wake_class(t, a->class_);
    serve_turn(s, t, a);
    a->pages_left--;
    s->living[a->class_]++;
    s->preparing[a->class_]++;
    s->pixels += a->page_bytes;
    return a;
}

/* What stays of a decoded page are its views: for a line reader strips at a small scale, for a page reader at most
 * seven squares. A quarter is an upper guess for scans of 200 dpi and more. A line reader also keeps its sheet, a byte a
 * pixel, until it knows which way up the page stands. */
uint64_t
schedule_prepared(Schedule *s, int class_, uint64_t pixels)
{
    uint64_t goes = pixels - pixels / 4;

    if (s->limits.reads_lines)
        goes -= goes < LINES_MAX_PIXELS ? goes : LINES_MAX_PIXELS;
    s->preparing[class_]--;
    s->pixels -= goes;
    return pixels - goes;
}

void
schedule_page_end(Schedule *s, int class_, uint64_t charged, bool preparing)
{
    s->living[class_]--;
    s->preparing[class_] -= preparing;
    s->pixels -= charged;
}

/* ---- steps ---- */

int
schedule_step_class(const Schedule *s, const bool has[2], bool coming)
{
    int due = class_due(&s->steps);

    if (has[due])
        return due;
    if (due == WIRE_INTERACTIVE && coming)
        return -1;
    return !due;
}

/* Interactive work that was away comes back with LEAD_MS to spend, bulk work with nothing. */
void
schedule_worked(Schedule *s, int class_, double ms)
{
    Turns *t = &s->steps;
    double lead = class_ == WIRE_BULK ? LEAD_MS / weights[WIRE_INTERACTIVE] : 0;

    spend(t, class_, ms);
    if (s->living[!class_] == 0 && t->spent[!class_] < t->spent[class_] - lead)
        t->spent[!class_] = t->spent[class_] - lead;
}
