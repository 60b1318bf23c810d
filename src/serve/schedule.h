/* schedule.h - who may send its document, and whose page takes the next free place.
 *
 *   WAITING -schedule_admit-> ADMITTED (GO) -schedule_next_page-> its pages, one by one -schedule_leave-> gone
 *
 * Knows neither sockets nor threads nor a model: the caller locks, and does what is decided here. Two classes share
 * the engine by weight (8 interactive to 1 bulk while both have work, all of it otherwise); inside a class the
 * askers (role and database) take turns, and an asker's documents take turns page by page. A step of the engine is
 * one class's alone, and interactive work may be half a second ahead of its share: a short call waits for no bulk
 * step but the one it found running, and a flood of calls still leaves bulk its ninth.
 *
 * Who has many documents, or gives way, leaves a quarter of the room to those who ask for one, and has places of his own: long
 * documents of one session would else keep every short call out for minutes.
 *
 * Sharp edge: memory is half for documents, half for decoded pages, and each half always lets one in when it holds
 * nothing, else a document that fills its half could never be decoded. */
#ifndef DS_SCHEDULE_H
#define DS_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct ScheduleLimits
{
    uint64_t max_inflight_bytes;
    int max_waiting;
    int slots;        /* sequences the engine decodes at once */
    bool reads_lines; /* a page is many short sequences instead of one long one */
} ScheduleLimits;

typedef enum AskState
{
    ASK_OUTSIDE = 0,
    ASK_WAITING,  /* for GO */
    ASK_ADMITTED, /* until it leaves */
} AskState;

/* A request as the scheduler sees it; part of the caller's own. */
typedef struct Ask
{
    /* the caller's, before schedule_enter */
    int class_; /* WIRE_INTERACTIVE or WIRE_BULK */
    uint32_t role, database;
    bool alone;     /* nothing else may be admitted meanwhile */
    bool many;      /* one of many that its asker has at hand */
    bool reads;     /* needs the model; others are admitted while it loads, and take no place */
    uint64_t bytes; /* of the document */
    /* the caller's, once the document has been looked into */
    int pages_left;      /* pages nobody works at yet */
    uint64_t page_bytes; /* pixels of the next of them */
    /* the scheduler's */
    AskState state;
    uint64_t arrival, served; /* turns */
    uint64_t held;            /* bytes of document or answer that it is charged with */
    struct Ask *next, *prev;
} Ask;

/* Who shares places and room. */
typedef enum Pool
{
    POOL_SINGLE, /* one document of an interactive asker */
    POOL_MANY,
    POOL_BULK,
    POOLS,
} Pool;

#define SCHEDULE_KEYS 256

typedef struct Turns /* of one kind of decision */
{
    double spent[2];                 /* per class: what it got, divided by its weight */
    uint64_t keys[2][SCHEDULE_KEYS]; /* the turn in which an asker was served last */
} Turns;

typedef struct Schedule
{
    ScheduleLimits limits;
    bool ready; /* the model is there */
    Ask *first, *last;
    int waiting, admitted, reading[POOLS];
    bool alone;
    uint64_t held[POOLS], pixels; /* bytes of documents; of decoded pages */
    uint64_t replies;  /* bytes of answers that are still being taken: the caller's to count */
    int living[2];     /* pages handed out and not given back */
    int preparing[2];  /* of them, not yet with the engine */
    int units_left[2]; /* views that the engine's pages still wait for (line readers) */
    uint64_t turn;
    Turns admission, pages, steps;
} Schedule;

void schedule_init(Schedule *s, const ScheduleLimits *limits);

/* False when max_waiting others wait already. */
bool schedule_enter(Schedule *s, Ask *a);

/* The next that may send its document, charged with its bytes, or NULL when nobody waits or there is no room. */
Ask *schedule_admit(Schedule *s);

/* Changes what an admitted one is charged with: 0 when its document is freed, the answer's length after. */
void schedule_hold(Schedule *s, Ask *a, uint64_t bytes);

/* At any time: answered, cancelled, gone. Pages that it still has out are given back apart from this. */
void schedule_leave(Schedule *s, Ask *a);

/* Whose next page shall be decoded now, charged with its pixels and counted as living and preparing; NULL when
 * enough is ahead of the engine, or no room. may: the classes that are asked for. */
Ask *schedule_next_page(Schedule *s, const bool may[2]);

/* The engine has it: most of its pixels are gone. Returns what it stays charged with. */
uint64_t schedule_prepared(Schedule *s, int class_, uint64_t pixels);

/* The page is done or dropped. preparing: schedule_prepared was not reached. */
void schedule_page_end(Schedule *s, int class_, uint64_t charged, bool preparing);

/* The class whose pages the engine's next step takes, of those it has pages of; coming: interactive pages are being
 * prepared. -1: none now, it is better to wait a moment for them. */
int schedule_step_class(const Schedule *s, const bool has[2], bool coming);

/* A class had the engine for ms (or it was kept waiting for the class), by which the next choice is made. */
void schedule_worked(Schedule *s, int class_, double ms);

#endif
