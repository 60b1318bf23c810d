/* chat.c - a request as clients of chat services write it, and an answer as they expect it.
 *
 * One message of the user, with one image as a data URL: there is no conversation, nothing is sampled, nothing fetched.
 * Sharp edge: what would change an answer and cannot be done is refused, not ignored. */
#include "compat.h"

#include "access/xact.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "answer.h"
#include "functions.h"

PG_FUNCTION_INFO_V1(dsocr_chat_completions);

/* ---- what cannot be asked for ---- */

static const char *const known[] = {"model", "messages", "max_tokens",  "max_completion_tokens",
                                    "n",     "stream",   "temperature", "user"};

static void
refuse_key(const char *key)
{
    StringInfoData list;

    initStringInfo(&list);
    for (int i = 0; i < lengthof(known); i++)
        appendStringInfo(&list, "%s%s", i ? ", " : "", known[i]);
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("\"%s\" of a chat request is not known", key),
                    errdetail("Known are %s.", list.data), errhint("Leave it out.")));
}

static void
check_keys(Jsonb *request)
{
    JsonbIterator *it = JsonbIteratorInit(&request->root);
    JsonbValue v;
    JsonbIteratorToken token;

    while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
    {
        bool found = token != WJB_KEY;

        for (int i = 0; i < lengthof(known) && !found; i++)
            found = strlen(known[i]) == v.val.string.len &&
                    memcmp(known[i], v.val.string.val, v.val.string.len) == 0;
        if (!found)
            refuse_key(pnstrdup(v.val.string.val, v.val.string.len));
    }
}

/* A key that may be missing or null, or say the one thing that is done anyway. */
static void
check_only(Jsonb *request, const char *key, const char *json, const char *why)
{
    JsonbValue *v = json_get(&request->root, key);
    Jsonb *only = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json)));

    if (v == NULL || v->type == jbvNull ||
        compareJsonbContainers(&JsonbValueToJsonb(v)->root, &only->root) == 0)
        return;
    ereport(ERROR,
            (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("\"%s\" can only be %s", key, json),
             errdetail("%s", why), errhint("Leave it out.")));
}

static void
pg_attribute_noreturn() bad_message(const char *what)
{
    ereport(
        ERROR,
        (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s", what),
         errhint(
             "For example: {\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", "
             "\"text\": \"Free OCR.\"}, {\"type\": \"image_url\", \"image_url\": {\"url\": "
             "\"data:image/png;base64,...\"}}]}]}.")));
    pg_unreachable();
}

/* ---- the message ---- */

typedef struct Message
{
    StringInfoData text;
    bytea *image; /* NULL: none yet */
} Message;

static bytea *
image_of(JsonbContainer *part)
{
    static const char mark[] = ";base64,";
    char *url = json_get_string(json_get_container(part, "image_url"), "url"), *data;
    bytea *image;

    if (url == NULL)
        bad_message("an image of the message has no URL");
    if (strncmp(url, "data:", 5) != 0 || (data = strstr(url, mark)) == NULL)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("images are not fetched from anywhere"),
                        errdetail("The image's URL begins with \"%.40s\".", url),
                        errhint("Put the image itself there: data:image/png;base64,...")));
    image = DatumGetByteaPP(DirectFunctionCall2(
        binary_decode, CStringGetTextDatum(data + strlen(mark)), CStringGetTextDatum("base64")));
    pfree(url);
    return image;
}

static void
take_part(Message *m, JsonbContainer *part)
{
    char *type = json_get_string(part, "type"), *text = json_get_string(part, "text");

    if (type && strcmp(type, "text") == 0 && text)
        appendStringInfo(&m->text, "%s%s", m->text.len ? "\n" : "", text);
    else if (type && strcmp(type, "image_url") == 0 && m->image == NULL)
        m->image = image_of(part);
    else if (type && strcmp(type, "image_url") == 0)
        bad_message("the message has more than one image");
    else
        bad_message("a part of the message is neither text nor an image");
}

static Message
message_of(Jsonb *request)
{
    JsonbContainer *messages = json_get_container(&request->root, "messages"), *content;
    JsonbContainer *only = json_length(messages) == 1 ? json_nth(messages, 0) : NULL;
    char *role = json_get_string(only, "role");
    Message m = {.image = NULL};

    if (role == NULL || strcmp(role, "user") != 0)
        bad_message("a chat request has one message, of the user");
    initStringInfo(&m.text);
    content = json_get_container(only, "content");
    for (int i = 0; i < json_length(content); i++)
        take_part(&m, json_nth(content, i));
    if (m.image == NULL)
        bad_message("the message has no image");
    return m;
}

/* ---- what it asks for ---- */

#define LOCATE     "Locate <|ref|>"
#define LOCATE_END "<|/ref|> in the image"

/* The family's prompts, without the period. */
static const struct
{
    const char *prompt, *mode;
} prompts[] = {
    {"", "layout"},
    {"<|grounding|>Convert the document to markdown", "layout"},
    {"Convert the document to markdown", "layout"},
    {"Free OCR", "text"},
    {"Describe this image in detail", "describe"},
    {"Parse the figure", "figure"},
};

/* In place, without white space and the place of the image. */
static char *
bare(char *text)
{
    int n;

    text += strspn(text, " \t\r\n");
    if (strncmp(text, "<image>", 7) == 0)
        text += 7 + strspn(text + 7, " \t\r\n");
    for (n = strlen(text); n > 0 && strchr(" \t\r\n", text[n - 1]); n--)
        ;
    text[n] = '\0';
    return text;
}

/* The mode, and *question where it has one. */
static const char *
mode_of(char *text, const char **question)
{
    int n = strlen(text) - (text[0] && text[strlen(text) - 1] == '.');
    int before = strlen(LOCATE), after = strlen(LOCATE_END);

    *question = NULL;
    for (int i = 0; i < lengthof(prompts); i++)
        if (n == strlen(prompts[i].prompt) && strncmp(text, prompts[i].prompt, n) == 0)
            return prompts[i].mode;
    *question = text;
    if (n < before + after || strncmp(text, LOCATE, before) != 0 ||
        strncmp(text + n - after, LOCATE_END, after) != 0)
        return "ask";
    *question = pnstrdup(text + before, n - before - after);
    return "locate";
}

/* model and the number of tokens are the engine's to check. A place is told by the model's own markup. */
static Jsonb *
options_of(Jsonb *request, const char *mode)
{
    static const struct
    {
        const char *key, *option;
    } same[] = {
        {"model", "model"}, {"max_tokens", "max_tokens"}, {"max_completion_tokens", "max_tokens"}};
    StringInfoData s;

    initStringInfo(&s);
    appendStringInfoString(&s, strcmp(mode, "locate") == 0 ? "{\"include\": [\"raw\"]"
                                                           : "{\"include\": []");
    for (int i = 0; i < lengthof(same); i++)
    {
        JsonbValue *v = json_get(&request->root, same[i].key);

        if (v == NULL || v->type == jbvNull)
            continue;
        appendStringInfo(&s, ", \"%s\": ", same[i].option);
        JsonbToCString(&s, &JsonbValueToJsonb(v)->root, 0);
    }
    appendStringInfoChar(&s, '}');
    return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(s.data)));
}

/* ---- the answer ---- */

static Jsonb *
completion_of(Jsonb *result, const char *content)
{
    JsonbContainer *metadata = json_get_container(&result->root, "metadata"),
                   *document = json_get_container(&result->root, "document"),
                   *pages = json_pages(result);
    char *model = json_get_string(metadata, "model"), *sha256 = json_get_string(document, "sha256");
    int prompt = 0, output = 0;
    bool cut = false;
    StringInfoData s;

    for (int i = 0; i < json_length(pages); i++)
    {
        JsonbContainer *tokens = json_get_container(json_nth(pages, i), "tokens");
        char *finish = json_get_string(json_nth(pages, i), "finish_reason");

        prompt += json_get_int(tokens, "prompt", 0);
        output += json_get_int(tokens, "output", 0);
        cut = cut || (finish && strcmp(finish, "length") == 0);
    }
    initStringInfo(&s);
    appendStringInfoString(&s, "{\"id\": ");
    escape_json(&s, psprintf("chatcmpl-%.24s", sha256 ? sha256 : ""));
    appendStringInfo(
        &s, ", \"object\": \"chat.completion\", \"created\": " INT64_FORMAT ", \"model\": ",
        (int64)timestamptz_to_time_t(GetCurrentTransactionStartTimestamp()));
    escape_json(&s, model ? model : "");
    appendStringInfoString(
        &s, ", \"choices\": [{\"index\": 0, \"message\": {\"role\": \"assistant\", \"content\": ");
    escape_json(&s, content);
    appendStringInfo(&s,
                     "}, \"finish_reason\": \"%s\"}], \"usage\": {\"prompt_tokens\": %d, "
                     "\"completion_tokens\": %d, \"total_tokens\": %d}}",
                     cut ? "length" : "stop", prompt, output, prompt + output);
    return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(s.data)));
}

Datum
dsocr_chat_completions(PG_FUNCTION_ARGS)
{
    Jsonb *request, *result;
    Message m;
    const char *mode, *question, *member;

    if (PG_ARGISNULL(0))
        PG_RETURN_NULL();
    request = PG_GETARG_JSONB_P(0);
    if (!JB_ROOT_IS_OBJECT(request))
        bad_message("a chat request must be a JSON object");
    check_keys(request);
    check_only(request, "n", "1", "The same page gives the same answer.");
    check_only(request, "stream", "false", "An SQL function gives its answer at once.");
    check_only(request, "temperature", "0", "What is read is not sampled.");
    m = message_of(request);
    mode = mode_of(bare(m.text.data), &question);
    result =
        ask_document((struct varlena *)m.image, mode, "all", question, options_of(request, mode));
    member = strcmp(mode, "text") == 0 ? "text" : strcmp(mode, "locate") == 0 ? "raw" : "markdown";
    PG_RETURN_JSONB_P(completion_of(result, text_to_cstring(joined_pages(result, member))));
}
