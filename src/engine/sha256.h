/* sha256.h - the name of a byte string: documents in results and in the cache, weights in dsocr_status. */
#ifndef DS_SHA256_H
#define DS_SHA256_H

#include <stddef.h>
#include <stdint.h>

typedef struct Sha256
{
    uint32_t state[8];
    uint64_t length; /* bytes so far */
    uint8_t block[64];
} Sha256;

void sha256_init(Sha256 *s);
void sha256_add(Sha256 *s, const void *bytes, size_t n);
void sha256_end(Sha256 *s, uint8_t digest[32]);

void sha256_name(const void *bytes, size_t n, char hex[65]); /* all in one */
void sha256_hex(const uint8_t digest[32], char hex[65]);     /* lower case, closed by a zero byte */

#endif
