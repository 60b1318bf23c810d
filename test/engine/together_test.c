/* together_test.c - P8: a page's result does not depend on who else is being served. The mini itself, behind a real
 * socket: sixteen readings one after the other, then all at once in three orders. And P7 with real pages. */
#include "ask.h"
#include "check.h"
#include "image_files.h"

#include <jansson.h>
#include <pthread.h>

#define MODEL  "model/mini"
#define CONFIG "{\"cache_bytes\":0}"

static const char *const names[] = {
    "receipt_en.jpg", "minutes_en.jpg", "fax_en.tif",     "article_es.jpg",
    "recipe_fr.jpg",  "form_en.jpg",    "invoice_en.jpg", "letter_de.jpg",
    "book_en.jpg",    "letter_en.jpg",  "journal_en.jpg", "pricelist_de.jpg",
};

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
enum
{
    READINGS = 3,
    ORDERS = 1
}; /* slow; the rest without sanitizers */
#else
enum
{
    READINGS = 16,
    ORDERS = 3
};
#endif

typedef struct Reading
{
    pthread_t thread;
    const char *socket;
    Question question;
    char *alone, *now; /* JSON without what may differ */
    double ms;
} Reading;

static Reading readings[READINGS];

/* Takes out ms, started_at and duration_ms, wherever they stand. */
static void
strip(json_t *value)
{
    const char *key;
    json_t *child;
    size_t i;
    void *next;

    json_object_del(value, "ms");
    json_object_del(value, "started_at");
    json_object_del(value, "duration_ms");
    json_object_foreach_safe(value, next, key, child) strip(child);
    json_array_foreach(value, i, child) strip(child);
}

static char *
comparable(const Reply *r)
{
    json_t *all = r->type == WIRE_RESULT ? json_loads(r->text, 0, NULL) : NULL;
    char *text;

    if (all == NULL)
    {
        printf("#    type %d: %.200s\n", r->type, r->text ? r->text : "");
        return NULL;
    }
    strip(all);
    text = json_dumps(all, JSON_SORT_KEYS | JSON_COMPACT);
    json_decref(all);
    return text;
}

static void *
read_now(void *arg)
{
    Reading *r = arg;
    double start = now_ms();
    Reply reply = ask(r->socket, &r->question);

    free(r->now);
    r->now = comparable(&reply);
    r->ms = now_ms() - start;
    free(reply.text);
    return NULL;
}

/* Twelve pages, then four of them asked for in other ways. */
static bool
load(const char *socket)
{
    for (int i = 0; i < READINGS; i++)
    {
        char path[128];
        File f;

        snprintf(path, sizeof path, "test/pages/%s", names[i % 12]);
        f = read_file(path);
        readings[i].socket = socket;
        readings[i].question =
            (Question){.kind = WIRE_READ,
                       .class_ = i % 3 ? WIRE_INTERACTIVE : WIRE_BULK,
                       .options = i < 12 ? "{}" : "{\"mode\":\"text\",\"options\":{\"rotate\":0}}",
                       .body = f.data,
                       .n = f.n};
        if (f.n == 0)
            return false;
    }
    return true;
}

static bool
read_together(int order)
{
    bool same = true;

    for (int i = 0; i < READINGS; i++)
    {
        int k = order == 0 ? i : order == 1 ? READINGS - 1 - i : i * 7 % READINGS;

        pthread_create(&readings[k].thread, NULL, read_now, &readings[k]);
        pause_ms(5);
    }
    for (int i = 0; i < READINGS; i++)
    {
        pthread_join(readings[i].thread, NULL);
        if (readings[i].now && strcmp(readings[i].now, readings[i].alone) == 0)
            continue;
        printf("#    %s, order %d, differs\n", names[i % 12], order);
        same = false;
    }
    return same;
}

static void
neighbours(TestServer *t)
{
    static const char *const promises[] = {"the same in a batch with all others",
                                           "and in the opposite order", "and in a third order"};
    double start = now_ms(), alone;
    bool all = true;

    for (int i = 0; i < READINGS; i++)
    {
        read_now(&readings[i]);
        readings[i].alone = readings[i].now;
        readings[i].now = NULL;
        all = all && readings[i].alone && strstr(readings[i].alone, "\"text\"");
    }
    alone = now_ms() - start;
    if (!promise("each page is read alone", all))
        return;
    for (int order = 0; order < ORDERS; order++)
    {
        start = now_ms();
        promise(promises[order], read_together(order));
        printf("#    %d readings: %.1f s one by one, %.1f s together\n", READINGS, alone / 1e3,
               (now_ms() - start) / 1e3);
    }
    promise("nothing is left in flight", status_number(t->socket, "inflight_bytes") == 0);
}

/* The supervisor takes an engine whose counter stands still for one that hangs. */
static void
counter_moves(TestServer *t)
{
    WirePong pong = {0};
    uint64_t last = 0;
    double start = now_ms(), moved = start, longest = 0;

    for (int i = 0; i < 4 && i < READINGS; i++)
        pthread_create(&readings[i].thread, NULL, read_now, &readings[i]);
    do
    {
        double now;

        pause_ms(10);
        if (!ping(t, &pong))
            break;
        now = now_ms();
        if (pong.progress != last || pong.active == 0)
            moved = now;
        longest = now - moved > longest ? now - moved : longest;
        last = pong.progress;
    } while (pong.active + pong.waiting > 0);
    for (int i = 0; i < 4 && i < READINGS; i++)
        pthread_join(readings[i].thread, NULL);
    printf("#    the progress counter stood still for %.0f of %.0f ms at most\n", longest,
           now_ms() - start);
    promise("the progress counter moves all the while that pages are read",
            longest < 500 || longest < (now_ms() - start) / 4);
}

static void
interactive_first(TestServer *t)
{
    Reading *quick = &readings[0];
    double alone;

    quick->question.class_ = WIRE_INTERACTIVE;
    read_now(quick);
    alone = quick->ms;
    for (int i = 1; i < READINGS; i++)
    {
        readings[i].question.class_ = WIRE_BULK;
        pthread_create(&readings[i].thread, NULL, read_now, &readings[i]);
    }
    if (!promise("bulk pages are begun",
                 eventually(status_number(t->socket, "pages_in_hand") >= 2)))
        return;
    read_now(quick);
    promise("P7: bulk work is still there when the interactive page is done",
            status_number(t->socket, "active") > 1);
    for (int i = 1; i < READINGS; i++)
        pthread_join(readings[i].thread, NULL);
    printf("#    a receipt: %.0f ms alone, %.0f ms beside bulk pages\n", alone, quick->ms);
}

int
main(void)
{
    TestServer t;

    signal(SIGPIPE, SIG_IGN);
    t = server_start("together", MODEL, CONFIG);
    if (!promise("pages and model are there", load(t.socket)))
        return report();
    neighbours(&t);
    counter_moves(&t);
    if (READINGS > 12)
        interactive_first(&t);
    promise("it ends well", server_stop(&t) == 0);
    return report();
}
