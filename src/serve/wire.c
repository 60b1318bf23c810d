/* wire.c - message headers: making, judging, and moving them over a blocking socket.
 *
 * Shared with src/pg, hence libc only. Sharp edge: a header of another protocol version can be told (magic and
 * version never move), but nothing behind its body_length can be trusted. */
#include "wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the wire is little-endian");
_Static_assert(sizeof(WireHeader) == 48, "a header has no padding");
_Static_assert(sizeof(WirePong) == 768, "a pong has no padding but its tail's");

void
wire_header(WireHeader *h, WireType type, uint64_t id)
{
    memset(h, 0, sizeof *h);
    h->magic = WIRE_MAGIC;
    h->version = WIRE_VERSION;
    h->type = (uint16_t)type;
    h->id = id;
}

static const char *
check_request(const WireHeader *h)
{
    if (h->kind < WIRE_READ || h->kind > WIRE_RENDER)
        return "a request of an unknown kind";
    if (h->class_ != WIRE_INTERACTIVE && h->class_ != WIRE_BULK)
        return "a request of an unknown class";
    if (h->flags & ~(uint32_t)(WIRE_ALONE | WIRE_PAGEWISE | WIRE_MANY))
        return "a request with unknown flags";
    return NULL;
}

const char *
wire_check(const WireHeader *h, uint64_t max_body, bool *other_version)
{
    *other_version = false;
    if (h->magic != WIRE_MAGIC)
        return "not a message of dsocr";
    if (h->version != WIRE_VERSION)
    {
        *other_version = true;
        return "a message of another protocol version";
    }
    if (h->type < WIRE_REQUEST || h->type > WIRE_PAGE)
        return "a message of an unknown type";
    if (h->options_length > WIRE_MAX_OPTIONS)
        return "options over the limit";
    if (h->body_length > max_body)
        return "a body over the limit";
    if (h->type != WIRE_REQUEST && h->type != WIRE_CONFIG && h->options_length != 0)
        return "options where none belong";
    if ((h->type == WIRE_GO || h->type == WIRE_PING || h->type == WIRE_CONFIG) &&
        h->body_length != 0)
        return "a body where none belongs";
    return h->type == WIRE_REQUEST ? check_request(h) : NULL;
}

bool
wire_read_all(int fd, void *to, size_t n)
{
    for (size_t done = 0; done < n;)
    {
        ssize_t got = recv(fd, (char *)to + done, n - done, 0);

        if (got <= 0 && !(got < 0 && errno == EINTR))
            return false;
        if (got > 0)
            done += (size_t)got;
    }
    return true;
}

bool
wire_write_all(int fd, const void *from, size_t n)
{
    for (size_t done = 0; done < n;)
    {
        ssize_t put = send(fd, (const char *)from + done, n - done, MSG_NOSIGNAL);

        if (put < 0 && errno != EINTR)
            return false;
        if (put > 0)
            done += (size_t)put;
    }
    return true;
}
