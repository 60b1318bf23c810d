/* sha256.c - FIPS 180-4, written to be read; where the processor has instructions for it, sha256_shani.c does the
 * blocks: six gigabytes of weights are hashed, and every document on the thread that serves them all. */
#include "sha256_blocks.h"

#include <cpuid.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

const uint32_t sha256_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t
turn(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static void
schedule_words(uint32_t w[64], const uint8_t *block)
{
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 64; i++)
    {
        uint32_t a = w[i - 15], b = w[i - 2];

        w[i] = w[i - 16] + (turn(a, 7) ^ turn(a, 18) ^ a >> 3) + w[i - 7] +
               (turn(b, 17) ^ turn(b, 19) ^ b >> 10);
    }
}

/* One round; instead of moving the eight words down, the next round names them one place further. */
static inline void
round_of(uint32_t a, uint32_t b, uint32_t c, uint32_t *d, uint32_t e, uint32_t f, uint32_t g,
         uint32_t *h, uint32_t word)
{
    uint32_t t = *h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + word;

    *d += t;
    *h = t + (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
}

static void
add_block(uint32_t state[8], const uint8_t *block)
{
    uint32_t w[64], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4],
                    f = state[5], g = state[6], h = state[7];
    const uint32_t *k = sha256_constants;

    schedule_words(w, block);
    for (int i = 0; i < 64; i += 8)
    {
        round_of(a, b, c, &d, e, f, g, &h, k[i] + w[i]);
        round_of(h, a, b, &c, d, e, f, &g, k[i + 1] + w[i + 1]);
        round_of(g, h, a, &b, c, d, e, &f, k[i + 2] + w[i + 2]);
        round_of(f, g, h, &a, b, c, d, &e, k[i + 3] + w[i + 3]);
        round_of(e, f, g, &h, a, b, c, &d, k[i + 4] + w[i + 4]);
        round_of(d, e, f, &g, h, a, b, &c, k[i + 5] + w[i + 5]);
        round_of(c, d, e, &f, g, h, a, &b, k[i + 6] + w[i + 6]);
        round_of(b, c, d, &e, f, g, h, &a, k[i + 7] + w[i + 7]);
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

/* What the processor has, asked once; DSOCR_CPU=generic pins the plain rounds. */
static bool
has_shani(void)
{
    static atomic_int known; /* 0: not asked, 1: no, 2: yes */
    const char *pinned = getenv("DSOCR_CPU");
    unsigned a, b, c, d;

    if (known == 0)
        known = (pinned == NULL || strcmp(pinned, "generic") != 0) &&
                        __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA)
                    ? 2
                    : 1;
    return known == 2;
}

static void
add_blocks(uint32_t state[8], const uint8_t *blocks, size_t n)
{
    if (has_shani())
        sha256_blocks_shani(state, blocks, n);
    else
        for (; n > 0; n--, blocks += 64)
            add_block(state, blocks);
}

void
sha256_init(Sha256 *s)
{
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

    memcpy(s->state, start, sizeof start);
    s->length = 0;
}

void
sha256_add(Sha256 *s, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    size_t held = s->length % 64;

    s->length += n;
    if (held + n >= 64 && held > 0)
    {
        memcpy(s->block + held, p, 64 - held);
        add_blocks(s->state, s->block, 1);
        p += 64 - held;
        n -= 64 - held;
        held = 0;
    }
    add_blocks(s->state, p, n / 64);
    p += n / 64 * 64;
    n %= 64;
    if (n > 0)
        memcpy(s->block + held, p, n);
}

void
sha256_end(Sha256 *s, uint8_t digest[32])
{
    uint64_t bits = s->length * 8;
    uint8_t tail[72] = {0x80};
    size_t zeros = (119 - s->length % 64) % 64;

    for (int i = 0; i < 8; i++)
        tail[1 + zeros + i] = (uint8_t)(bits >> (56 - 8 * i));
    sha256_add(s, tail, 1 + zeros + 8);
    for (int i = 0; i < 32; i++)
        digest[i] = (uint8_t)(s->state[i / 4] >> (24 - 8 * (i % 4)));
}

void
sha256_hex(const uint8_t digest[32], char hex[65])
{
    static const char digits[] = "0123456789abcdef";

    for (int i = 0; i < 32; i++)
    {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[64] = '\0';
}

void
sha256_name(const void *bytes, size_t n, char hex[65])
{
    Sha256 s;
    uint8_t digest[32];

    sha256_init(&s);
    sha256_add(&s, bytes, n);
    sha256_end(&s, digest);
    sha256_hex(digest, hex);
}
