/* wire_fuzz.c - what strangers put on the wire: a header of 48 bytes, then its options.
 *
 * What wire_check lets through has lengths that its reader may allocate; options of a request end in a request or in
 * a message, settings in settings within their ranges. */
#include "../../src/serve/serve_inner.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void
check_limits(const WireHeader *h)
{
    static const uint64_t limits[] = {0, 1000, WIRE_MAX_BODY, WIRE_MAX_REPLY};
    bool other;

    for (int i = 0; i < 4; i++)
        if (wire_check(h, limits[i], &other) == NULL &&
            (h->body_length > limits[i] || h->options_length > WIRE_MAX_OPTIONS || other))
            abort();
}

static void
try_request(const char *options, size_t n)
{
    DsRequest request;
    DsError err = {0};
    Arena arena;

    arena_init(&arena, 1 << 20);
    if (request_of(options, n, &default_settings, &request, &err) == DS_OK)
    {
        if (request_canonical(&request, &arena) == NULL || request.options.max_tokens > 8192)
            abort();
    }
    else if (err.message[0] == '\0')
        abort();
    arena_free(&arena);
}

static void
try_settings(const char *options, size_t n)
{
    Settings settings = default_settings;
    DsError err = {0};

    if (settings_parse(options, n, &settings, &err) != DS_OK &&
        (err.message[0] == '\0' || memcmp(&settings, &default_settings, sizeof settings) != 0))
        abort();
    if (settings.image.max_bytes < 1 || settings.image.max_bytes > WIRE_MAX_BODY ||
        settings.max_tokens < 1 || settings.max_waiting < 0)
        abort();
}

__attribute__((visibility("default"))) int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    WireHeader h;

    if (n < sizeof h)
        return 0;
    memcpy(&h, bytes, sizeof h);
    check_limits(&h);
    if (h.type == WIRE_CONFIG)
        try_settings((const char *)bytes + sizeof h, n - sizeof h);
    else
        try_request((const char *)bytes + sizeof h, n - sizeof h);
    return 0;
}
