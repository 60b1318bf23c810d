/* serve_status.c - what the engine says of itself: the supervisor's pong, and the object behind dsocr_status(). */
#include "serve_inner.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const state_names[] = {
    [WIRE_STARTING] = "starting", [WIRE_READY] = "ready", [WIRE_FAILED] = "failed"};

static uint64_t
rss_bytes(void)
{
    unsigned long long size, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    if (f == NULL)
        return 0;
    if (fscanf(f, "%llu %llu", &size, &resident) != 2)
        resident = 0;
    fclose(f);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t
inflight_bytes(const Server *s)
{
    return s->schedule.held[POOL_SINGLE] + s->schedule.held[POOL_MANY] +
           s->schedule.held[POOL_BULK] + s->schedule.pixels + s->schedule.replies;
}

/* The directory's last part, until the model says its own name. */
static const char *
model_name(const Server *s)
{
    const char *slash = s->model_dir ? strrchr(s->model_dir, '/') : NULL;

    if (s->state == WIRE_READY)
        return s->facts.model;
    return slash && slash[1] ? slash + 1 : s->model_dir ? s->model_dir : "";
}

static void
put(char *to, size_t room, const char *text)
{
    snprintf(to, room, "%s", text ? text : "");
}

void
status_pong(Server *s, WirePong *p)
{
    memset(p, 0, sizeof *p);
    p->progress = s->progress;
    p->pages = s->statistics.pages;
    p->rss_bytes = rss_bytes();
    p->weight_bytes = s->facts.weight_bytes;
    p->inflight_bytes = inflight_bytes(s);
    p->state = s->state;
    p->active = (uint32_t)s->schedule.admitted;
    p->waiting = (uint32_t)s->schedule.waiting;
    p->slots = (uint32_t)s->facts.slots;
    p->slots_used = (uint32_t)s->slots_used;
    put(p->model, sizeof p->model, model_name(s));
    put(p->device, sizeof p->device, s->facts.device);
    put(p->weights_sha256, sizeof p->weights_sha256, s->facts.weights_sha256);
    if (s->state == WIRE_FAILED)
        snprintf(p->error, sizeof p->error, "%s\n%.150s\n%.100s", s->failure.message,
                 s->failure.detail, s->failure.hint);
}

static json_t *
work_of(Server *s)
{
    const Schedule *q = &s->schedule;
    const Statistics *t = &s->statistics;

    return json_pack(
        "{s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I}", "slots", s->facts.slots,
        "slots_used", s->slots_used, "active", q->admitted, "waiting", q->waiting, "pages_in_hand",
        q->living[0] + q->living[1], "pages", (json_int_t)t->pages, "tokens", (json_int_t)t->tokens,
        "steps", (json_int_t)t->steps, "rss_bytes", (json_int_t)rss_bytes(), "inflight_bytes",
        (json_int_t)inflight_bytes(s), "uptime_s", (json_int_t)(serve_now() - s->started) / 1000);
}

char *
status_json(Server *s, size_t *n)
{
    CacheFacts cache = cache_facts(s->cache);
    const Statistics *t = &s->statistics;
    json_t *all = work_of(s);
    char *text;

    json_object_update_new(
        all,
        json_pack("{s:s, s:s, s:s?, s:s?, s:s?, s:b, s:{s:I, s:I, s:I, s:i}, s:{s:I, s:I, s:I}}",
                  "state", state_names[s->state], "model", model_name(s), "device", s->facts.device,
                  "dtype", s->facts.dtype, "weights_sha256", s->facts.weights_sha256, "reads_lines",
                  s->facts.reads_lines, "cache", "bytes", (json_int_t)cache.bytes, "hits",
                  (json_int_t)cache.hits, "misses", (json_int_t)cache.misses, "entries",
                  cache.entries, "ms", "decode", (json_int_t)t->ms_decode, "encode",
                  (json_int_t)t->ms_encode, "generate", (json_int_t)t->ms_generate));
    if (s->state == WIRE_FAILED)
        json_object_set_new(all, "error", json_string(s->failure.message));
    text = json_dumps(all, JSON_COMPACT);
    json_decref(all);
    *n = text ? strlen(text) : 0;
    return text;
}
