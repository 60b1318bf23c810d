/* choose.h - logits -> next id; greedy, with repeats banned. Spec 9. Host arithmetic only. */
#ifndef DS_CHOOSE_H
#define DS_CHOOSE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct NgramRule
{
    int size; /* 0: no rule */
    int window; /* starts looked at: the last `window` generated tokens; 0: all of prompt and output (HF's rule) */
    const int32_t *whitelist; /* ids never banned: <td>, </td> */
    int nwhitelist;
} NgramRule;

typedef struct Choice
{
    int32_t id;
    float probability; /* softmax of the unbanned logits at id */
    float gap;         /* logit distance to the runner-up */
} Choice;

/* ids: [n] the whole sequence, of which the first `prompt` are the prompt (vision rows as the image id).
 * Ties go to the lowest id. logits: [vocab], not changed. */
Choice choose_next(const float *logits, int vocab, const int32_t *ids, int n, int prompt,
                   const NgramRule *rule);

/* Makes logits those of the mean of two chances: log((softmax(logits) + softmax(others)) / 2). [vocab] */
void choose_mix(float *logits, const float *others, int vocab);

/* True when the output ends in at least `repeats` (3) copies of one run of tokens that together are at least
 * `least` (24) tokens long; *keep is the length up to the end of the first copy. For stopping a loop. */
bool choose_looping(const int32_t *out, int n, int repeats, int least, int *keep);

#endif
