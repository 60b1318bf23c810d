/* draft.h - what a line reader's vision already says of the text: ids for the decoder to agree with. MODEL.md, "Drafts".
 *
 * A draft decides nothing. Its ids go through the decoder together, each is kept only where the decoder chooses the
 * same, and what comes after the first that is not is worked out anew: the text is what it is without a draft. */
#ifndef DS_DRAFT_H
#define DS_DRAFT_H

#include <stdint.h>

#define DRAFT_MOST 256 /* ids */

typedef struct Draft
{
    int n, at;  /* ids[at .. n) are still to come */
    int misses; /* passes running in which none was right */
    int32_t ids[DRAFT_MOST];
} Draft;

/* logits: [tokens, slots, vocab] of the draft head, in reading order; id 0 is a slot left blank. tokens * slots may be
 * DRAFT_MOST. */
void draft_make(Draft *d, const float *logits, int tokens, int slots, int vocab);

/* Moves on past `id`, which the decoder has chosen. */
void draft_pass(Draft *d, int32_t id);

/* A pass is over, of which `right` of the offered ids were right. A draft that fails again and again is given up. */
void draft_judge(Draft *d, int right);

#endif
