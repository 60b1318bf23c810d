/* decoder.h - stage 5 of 7: the decoder's input -> logits; the layers, prefill and step. Spec 7.
 *
 * A decoder has a fixed number of slots; a slot holds the keys and values (kvcache.h) of one sequence. All
 * memory is taken at open. The logits of a sequence do not depend on what the other slots do (P8). */
#ifndef DS_DECODER_H
#define DS_DECODER_H

#include "kvcache.h"
#include "model.h"

typedef struct Decoder Decoder;

/* slots: sequences at once; positions: longest prompt + output of one; max_rows: rows one pass may take. */
DsStatus decoder_open(const Model *m, Device *d, int slots, int positions, int max_rows,
                      Decoder **out, DsError *err);
/* What one slot of so many positions takes. */
uint64_t decoder_slot_bytes(const Model *m, int positions);
void decoder_close(Decoder *dec);
int decoder_slots(const Decoder *dec);
int decoder_positions(const Decoder *dec);

/* One sequence's next rows of one pass. */
typedef struct DecoderInput
{
    int slot;
    int start;          /* position of the first row; 0 begins the sequence anew */
    int n;              /* rows */
    const int32_t *ids; /* [n] token ids; an id of -1 takes the next of `image` instead */
    const float *image; /* [number of -1 ids, hidden] vision rows, or NULL */
    int earlier;        /* rows before the last whose logits are wanted too */
    int gap, behind;    /* positions left out before row `behind`, for a view that ends early */
} DecoderInput;

/* Runs the layers over the rows of `n` inputs together and writes, for each input, the logits after its
 * last rows, 1 + earlier of them. logits: [sum of those, vocab]. DS_LIMIT when a position does not fit. Calls tick at least every 100 ms; a
 * pass that was cancelled leaves its slots to be begun anew. */
DsStatus decoder_run(Decoder *dec, const DecoderInput *inputs, int n, float *logits, DsError *err);

#endif
