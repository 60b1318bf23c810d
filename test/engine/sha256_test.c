/* sha256_test.c - the digests of FIPS 180-4's examples, whole and in pieces of every length. */
#include "check.h"
#include "sha256.h"

#include <unistd.h>

static bool
digest_is(const char *text, size_t n, size_t piece, const char *want)
{
    Sha256 s;
    uint8_t digest[32];
    char hex[65];

    sha256_init(&s);
    for (size_t i = 0; i < n; i += piece)
        sha256_add(&s, text + i, n - i < piece ? n - i : piece);
    sha256_end(&s, digest);
    sha256_hex(digest, hex);
    return strcmp(hex, want) == 0;
}

static void
examples(void)
{
    static char million[1000000];
    static const char two[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    bool pieces = true;

    promise(
        "the empty string",
        digest_is("", 0, 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    promise("abc", digest_is("abc", 3, 3,
                             "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    promise(
        "two blocks",
        digest_is(two, 56, 56, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"));
    memset(million, 'a', sizeof million);
    for (size_t piece = 1; piece <= 200; piece += 7)
        pieces =
            pieces && digest_is(million, sizeof million, piece,
                                "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    promise("a million letters, in pieces of 1 to 197 bytes", pieces);
}

/* The processor's instructions against the plain rounds: a child process runs the examples with them switched off. */
int
main(int argc, char **argv)
{
    examples();
    if (argc == 1)
    {
        setenv("DSOCR_CPU", "generic", 1);
        printf("# once more with the plain rounds\n");
        fflush(stdout);
        if (checks_failed == 0)
            execl(argv[0], argv[0], "generic", NULL);
    }
    return report();
}
