/* reading.h - a page on its way through the engine: its views, its sequences, and what they have become.
 *
 * A page reader's page is one sequence of all its views; a line reader's page is one sequence per view, so
 * that the lines of one page (and of other pages) fill a batch. Private to dsocr.c, reading.c and dump.c. */
#ifndef DS_READING_H
#define DS_READING_H

#include "choose.h"
#include "prompt.h"
#include "decoder.h"
#include "dsocr.h"
#include "vision.h"

/* WAITS -slot-> SEES -all views encoded-> PREFILLS -all rows in the cache-> WRITES -end-> DONE
 * A pass that is given up (DS_CANCELLED) sends its sequences back to PREFILLS at row 0. */
typedef enum SequenceState
{
    SEQUENCE_WAITS,
    SEQUENCE_SEES,
    SEQUENCE_PREFILLS,
    SEQUENCE_WRITES,
    SEQUENCE_DONE,
} SequenceState;

typedef struct Sequence
{
    SequenceState state;
    int first_view, nviews; /* of the page's views */
    int seen;               /* views encoded */
    int slot;               /* -1: none */
    float *rows;            /* [nrows, hidden] vision rows and the separator */
    int nrows, rows_filled;
    int gap, separator; /* positions left out before the separator, where it stands */
    int32_t *ids;       /* [room] prompt (-1: a vision row) and output */
    float *probs;       /* [room] of the output ids */
    int n, prompt, room;
    int cached;         /* ids whose keys and values are in the slot */
    Draft *draft;       /* what the vision says; NULL: nothing */
    int offered;        /* of its ids, behind the n: with the pass at hand */
    int limit;          /* most output ids */
    const char *finish; /* "eos", "length", "repeat" */
    float ending;       /* probability of the end, where it ended with "eos" */
    struct Look *look;  /* while the second look lasts */
} Sequence;

/* What a sequence that is read a second time had, and has beside its moved view. */
typedef struct Look
{
    Sequence first; /* as it was read */
    /* The first view behind a prompt of its own. It gets the ids that both views together give, and has neither state nor
     * slot, but is in the slot that goes with the moved view's. */
    Sequence beside;
} Look;

typedef struct Turn Turn;

struct DsPage
{
    Arena arena;
    const DsEngine *engine; /* NULL for a page that failed before it began */
    int number;
    DsOptions options;
    PageLines lines; /* line readers */
    Turn *turn;      /* while it is tried which way up the page stands; or NULL */
    View *views;     /* [nviews] */
    int nviews, columns, rows;
    Sequence *sequences; /* [nsequences] */
    int nsequences, ndone;
    bool looked; /* a second time, where there was need: */
    int nagain;  /* sequences */
    NgramRule rule;
    int attempt;
    bool laid_out;
    int told_done, told_all;       /* by ds_page_progress */
    bool gives_way;                /* leaves slots free for others */
    double ms_encode, ms_generate; /* this page's share of the steps */
    PageReading reading;
};

struct DsEngine
{
    DsSettings settings;
    Device *device;
    Model *model;
    Tokenizer *tokenizer; /* NULL only under dump */
    Decoder *decoder;
    int slots, positions;
    Sequence **
        in_slot; /* [slots], NULL: free; with a second look the decoder has as many behind, one for each */
    float *logits; /* [slots, vocab]; line readers: [PASS_ROWS, vocab], if more */
    long passes;   /* of the decoder */
    int32_t whitelist[2];
    int nwhitelist;
    char device_name[64];
};

/* Rows that one pass of the decoder may take, and whole views encoded in one step of a line reader, or more that end
 * early: a step stays near 100 ms on two slow cores, so that a newcomer is looked at soon. */
#define PASS_ROWS   512
#define WHOLE_VIEWS 8
#define GROUP_VIEWS 32

/* DS_LIMIT: the page's working memory is used up. */
DsStatus reading_no_room(DsError *err);

/* Makes these lines the page's, and their views what is read. */
DsStatus reading_take_lines(DsPage *p, const PageLines *lines, DsError *err);

/* dsocr.c, for dump.c: a line reader's page without lines, whose one view is cut already; pixels live as long as it. */
DsStatus page_begin_view(const DsEngine *e, const View *view, const DsOptions *options,
                         DsPage **out, DsError *err);

/* Lays out the sequences of a page whose views are cut. */
DsStatus reading_prepare(const DsEngine *e, DsPage *p, DsError *err);

/* One more view and its sequence, behind the page's own: at most TURN_VIEWS. */
DsStatus reading_try_view(const DsEngine *e, DsPage *p, const View *view, DsError *err);

/* Lays out one sequence of the page's views; only first_view, nviews and rows of it are known. */
DsStatus reading_begin_sequence(const DsEngine *e, DsPage *p, Sequence *s, DsError *err);

/* The three kinds of work of a step; *worked tells whether there was any. */
DsStatus reading_see(DsEngine *e, DsPage *const *pages, int n, bool *worked, DsError *err);
DsStatus reading_prefill(DsEngine *e, DsPage *const *pages, int n, bool *worked, DsError *err);
DsStatus reading_write(DsEngine *e, DsPage *const *pages, int n, bool *worked, DsError *err);

/* Gives free slots to waiting sequences, in the order of the pages; the last quarter only to those of pages that do
 * not give way. */
void reading_admit(DsEngine *e, DsPage *const *pages, int n);

/* Lays out a page all of whose sequences are done, or begins its next attempt. */
DsStatus reading_finish(DsEngine *e, DsPage *p, DsError *err);

void reading_free_slots(DsEngine *e, DsPage *p);

/* The page ends with an error. */
void reading_fail(DsPage *p, const DsError *why);

/* --- look.c: a second look at what was read with doubt ------------------------------------------------- */

/* All sequences are done: begins some of them anew. DS_LIMIT: the page fails, as it does without memory for its turn;
 * what the first look has read is not given for what two looks would have. */
DsStatus look_begin(const DsEngine *e, DsPage *p, DsError *err);

/* What is read of the view as it was, too; NULL: the sequence is read from one view. */
Sequence *look_beside(const Sequence *s);

/* Gives it the ids that its sequence has by now. */
void look_follow(const Sequence *s);

/* And these, too: keeps what both views gave, where that is something. */
void look_decide(DsPage *p);

/* --- turn.c: a page of which the line finder may be wrong about which way up it stands ----------------- */

#define TURN_VIEWS 8 /* that are read to know */

/* Has it found out; takes `seen`, also when it fails. */
DsStatus turn_begin(DsPage *p, LinesSeen *seen, DsError *err);

/* Puts the sequences by which it is known before the others. */
void turn_first(DsPage *p);

/* After a step: looks at what they were read as, and asks on, or has the page read anew. */
DsStatus turn_go_on(DsEngine *e, DsPage *p, bool *worked, DsError *err);

/* It is known, or the page ends. */
void turn_end(DsPage *p);

double ds_now_ms(void); /* a monotonic clock */

#endif
