/* serve_config.c - the settings that the owner of the engine sends, and what a request inherits of them. */
#include "serve_inner.h"

#include <jansson.h>
#include <string.h>

const Settings default_settings = {
    .image = {64u << 20, 64000000, 20000, 16, 500},
    .max_tokens = 8192,
    .max_waiting = 1000,
    .retries = 1,
    .max_inflight_bytes = 256u << 20,
    .cache_bytes = 64u << 20,
};

typedef struct Key
{
    const char *name;
    size_t at;
    bool wide; /* uint64_t, else int */
    json_int_t low, high;
} Key;

#define WIDE(field)   offsetof(Settings, field), true
#define NARROW(field) offsetof(Settings, field), false

static const Key keys[] = {
    {"max_image_bytes", WIDE(image.max_bytes), 1, WIRE_MAX_BODY},
    {"max_pixels", WIDE(image.max_pixels), 1, 1LL << 32},
    {"max_side", NARROW(image.max_side), 1, 1 << 20},
    {"min_side", NARROW(image.min_side), 1, 1 << 20},
    {"max_pages", NARROW(image.max_pages), 1, 1 << 20},
    {"max_tokens", NARROW(max_tokens), 1, 1 << 20},
    {"page_timeout", NARROW(page_timeout_ms), 0, INT32_MAX},
    {"max_waiting", NARROW(max_waiting), 0, 1 << 20},
    {"max_inflight_bytes", WIDE(max_inflight_bytes), 1 << 20, 1LL << 50},
    {"cache_bytes", WIDE(cache_bytes), 0, 1LL << 50},
    {"retries", NARROW(retries), 0, 10},
};

static DsStatus
set_key(Settings *settings, const char *name, const json_t *value, DsError *err)
{
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
    {
        json_int_t v = json_integer_value(value);
        char *field = (char *)settings + keys[i].at;

        if (strcmp(keys[i].name, name) != 0)
            continue;
        if (!json_is_integer(value) || v < keys[i].low || v > keys[i].high)
            return ds_fail(err, DS_BAD_REQUEST, "setting \"%s\" is out of its range", name);
        if (keys[i].wide)
            *(uint64_t *)field = (uint64_t)v;
        else
            *(int *)field = (int)v;
        return DS_OK;
    }
    return ds_fail(err, DS_BAD_REQUEST, "no setting is called \"%s\"", name);
}

DsStatus
settings_parse(const char *json, size_t n, Settings *settings, DsError *err)
{
    json_t *all = json_loadb(json, n, JSON_REJECT_DUPLICATES, NULL), *value;
    Settings changed = *settings;
    const char *name;
    DsStatus st = DS_OK;

    if (!json_is_object(all))
        st = ds_fail(err, DS_BAD_REQUEST, "settings are not a JSON object");
    else
        json_object_foreach(all, name, value) if ((st = set_key(&changed, name, value, err))) break;
    json_decref(all);
    if (st == DS_OK)
        *settings = changed;
    return st;
}

/* Whether the caller said himself how often a looping page is tried again. */
static bool
says_retries(const char *json, size_t n)
{
    json_t *all = json_loadb(json, n, 0, NULL);
    bool says = json_object_get(json_object_get(all, "options"), "retries") != NULL;

    json_decref(all);
    return says;
}

DsStatus
request_of(const char *json, size_t n, const Settings *settings, DsRequest *out, DsError *err)
{
    DsStatus st = request_parse(n ? json : "{}", n ? n : 2, settings->max_tokens, out, err);

    if (st == DS_OK && !says_retries(json, n))
        out->options.retries = settings->retries;
    return st;
}

void
set_schedule_limits(Server *s)
{
    s->schedule.limits = (ScheduleLimits){
        .max_inflight_bytes = s->settings.max_inflight_bytes,
        .max_waiting = s->settings.max_waiting,
        .slots = s->facts.slots > 0 ? s->facts.slots : 1,
        .reads_lines = s->facts.reads_lines,
    };
}
