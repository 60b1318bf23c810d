/* wire_test.c - no header with a length, type or flag out of bounds gets past wire_check. */
#include "check.h"
#include "wire.h"

#include <sys/socket.h>
#include <unistd.h>

static WireHeader
request(void)
{
    WireHeader h;

    wire_header(&h, WIRE_REQUEST, 7);
    h.kind = WIRE_READ;
    h.options_length = 10;
    h.body_length = 1000;
    return h;
}

static bool
fine(WireHeader h)
{
    bool other;

    return wire_check(&h, 1000, &other) == NULL && !other;
}

static void
limits(void)
{
    WireHeader h = request();

    promise("a good request passes", fine(h));
    h.body_length = 1001;
    promise("a body one byte over the reader's limit is refused", !fine(h));
    h = request(), h.body_length = UINT64_MAX;
    promise("a body of 2^64 - 1 bytes is refused", !fine(h));
    h = request(), h.options_length = WIRE_MAX_OPTIONS;
    promise("options of the largest length pass", fine(h));
    h.options_length++;
    promise("options one byte longer are refused", !fine(h));
}

static void
words(void)
{
    WireHeader h = request();
    bool other;

    h.magic++;
    promise("a strange magic is refused", wire_check(&h, 1000, &other) && !other);
    h = request(), h.version++;
    promise("another version is told apart", wire_check(&h, 1000, &other) && other);
    for (int type = 0; type < 20; type++)
        if (h = request(), h.type = (uint16_t)type, (type == 0 || type > WIRE_PONG) && fine(h))
            promise("unknown types are refused", false);
    h = request(), h.kind = 0;
    promise("kind 0 is refused", !fine(h));
    h = request(), h.kind = 5;
    promise("kind 5 is refused", !fine(h));
    h = request(), h.class_ = 2;
    promise("an unknown class is refused", !fine(h));
    h = request(), h.flags = WIRE_MANY << 1;
    promise("unknown flags are refused", !fine(h));
    wire_header(&h, WIRE_RESULT, 1), h.options_length = 1;
    promise("an answer with options is refused", !fine(h));
    wire_header(&h, WIRE_GO, 1), h.body_length = 1;
    promise("GO with a body is refused", !fine(h));
}

static void
moving(void)
{
    int pair[2];
    char text[6] = "";

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        exit(1);
    promise("bytes go over", wire_write_all(pair[0], "hello", 5) &&
                                 wire_read_all(pair[1], text, 5) && strcmp(text, "hello") == 0);
    close(pair[0]);
    promise("the end of the other side is told", !wire_read_all(pair[1], text, 1));
    promise("writing to nobody is no signal", !wire_write_all(pair[1], "hello", 5));
    close(pair[1]);
}

int
main(void)
{
    limits();
    words();
    moving();
    return report();
}
