/* prompt.h - stage 4 of 7: the asked-for task and the vision tokens -> the decoder's input. Spec 8. */
#ifndef DS_PROMPT_H
#define DS_PROMPT_H

#include "model.h"
#include "options.h"
#include "tokenizer.h"

#define PROMPT_WORDS "%s"

/* The prompt of a mode for page readers, spec 8: grounded markdown for layout, "Free OCR." for text. PROMPT_WORDS
 * stands where the question goes. */
const char *prompt_for_mode(DsMode mode);

/* DS_UNSUPPORTED for a mode that the model has no prompt for, with those that have. */
DsStatus prompt_can(const ModelFacts *f, DsMode mode, DsError *err);

/* BOS, image_rows times -1 (a vision row each) at the place of <image>, then the text after it; text is
 * stripped of white space at both ends of the whole prompt only, as the reference does. A prompt without
 * <image> gets the rows first. words: "", or what stands for PROMPT_WORDS behind the image, plain text whatever it
 * looks like. ids come from the arena. */
DsStatus prompt_build(const Tokenizer *t, const char *prompt, const char *words, int32_t bos,
                      int image_rows, Arena *arena, int32_t **ids, int *n, DsError *err);

/* Where the separator of such a prompt stands, its last -1; -1: there is none. */
int prompt_separator(const int32_t *ids, int n);

#endif
