/* sha256_blocks.h - the fast twin of sha256.c's rounds. */
#ifndef DS_SHA256_BLOCKS_H
#define DS_SHA256_BLOCKS_H

#include "sha256.h"

extern const uint32_t sha256_constants[64];

/* n blocks of 64 bytes, with the SHA instructions of x86-64. */
void sha256_blocks_shani(uint32_t state[8], const uint8_t *blocks, size_t n);

#endif
