/* main.c - the command dsocr: reads a file without any database, and serves one. */
#include "cli.h"
#include "serve.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: dsocr COMMAND [OPTION]... [FILE]...\n"
    "\n"
    "  read FILE...      read text and layout          --format text|markdown|json  --mode "
    "layout|text\n"
    "                                                  --pages 1-3,7  --options JSON\n"
    "                    what some models can besides    --mode describe|figure|locate|ask  "
    "--question TEXT\n"
    "                    stop after a stage, dump it   --stage image|lines|views|tokens|layout\n"
    "  info FILE...      format, pages and sizes; needs no model\n"
    "  verify MODEL_DIR  open a model strictly and say what it is    --hash also sums the weights\n"
    "  dump IMAGE        the values between the stages, as JSON      --prompt TEXT | --prompt-ids "
    "0,I,201,17\n"
    "                                                                --max-tokens N  --no-eos\n"
    "  serve             the engine of a server: --socket PATH [--model DIR] [--control FD] "
    "[--lock FILE] ...\n"
    "  bench FILE...     pages, views and tokens a second            --repeat N  --no-draft\n"
    "                    what a decoder child costs                  --sandbox\n"
    "\n"
    "  --model DIR|NAME  a model directory, or the name of one beside the shipped dsocr-mini\n"
    "  --adapter DIR     a LoRA adapter in PEFT's layout, merged into the model; also for serve\n"
    "  --backend NAME    auto, generic, avx2, avxvnni, avx512, the last three also with -int8\n"
    "  --threads N       0: all processors\n";

typedef enum Kind
{
    TEXT,
    NUMBER,
    FLAG,
} Kind;

#define FIELD(f) offsetof(Cli, f)

static const struct
{
    const char *name;
    Kind kind;
    size_t field;
} known[] = {
    {"adapter", TEXT, FIELD(adapter)},
    {"model", TEXT, FIELD(model)},
    {"backend", TEXT, FIELD(backend)},
    {"format", TEXT, FIELD(format)},
    {"mode", TEXT, FIELD(mode)},
    {"pages", TEXT, FIELD(pages)},
    {"question", TEXT, FIELD(question)},
    {"options", TEXT, FIELD(options)},
    {"stage", TEXT, FIELD(stage)},
    {"prompt", TEXT, FIELD(prompt)},
    {"prompt-ids", TEXT, FIELD(prompt_ids)},
    {"threads", NUMBER, FIELD(threads)},
    {"repeat", NUMBER, FIELD(repeat)},
    {"max-tokens", NUMBER, FIELD(max_tokens)},
    {"no-eos", FLAG, FIELD(no_eos)},
    {"no-draft", FLAG, FIELD(no_draft)},
    {"hash", FLAG, FIELD(hash)},
    {"sandbox", FLAG, FIELD(sandbox)},
};

#define NKNOWN (sizeof known / sizeof *known)

static const struct
{
    const char *name;
    int (*run)(const Cli *);
} commands[] = {
    {"read", command_read}, {"info", command_info},   {"verify", command_verify},
    {"dump", command_dump}, {"bench", command_bench},
};

static bool
take_option(Cli *c, size_t i, const char *arg)
{
    char *field = (char *)c + known[i].field, *end;
    long v;

    switch (known[i].kind)
    {
        case TEXT:
            *(const char **)field = arg;
            return true;
        case FLAG:
            return *(bool *)field = true;
        case NUMBER:
            v = strtol(arg, &end, 10);
            if (*arg && !*end && v >= 0 && v <= 1000000000)
            {
                *(int *)field = (int)v;
                return true;
            }
            fprintf(stderr, "dsocr: --%s takes a whole number, not \"%s\"\n", known[i].name, arg);
    }
    return false;
}

/* False after a message. */
static bool
take_options(Cli *c, int argc, char **argv)
{
    struct option options[NKNOWN + 1] = {0};
    int at, opt;

    for (size_t i = 0; i < NKNOWN; i++)
        options[i] = (struct option){
            known[i].name, known[i].kind == FLAG ? no_argument : required_argument, NULL, 'o'};
    while ((opt = getopt_long(argc, argv, "", options, &at)) != -1)
    {
        if (opt != 'o')
            fputs("dsocr --help lists the options\n", stderr);
        if (opt != 'o' || !take_option(c, (size_t)at, optarg))
            return false;
    }
    c->files = argv + optind;
    c->nfiles = argc - optind;
    return true;
}

static bool
asks_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return argc == 2 && strcmp(argv[1], "help") == 0;
}

int
main(int argc, char **argv)
{
    Cli c = {.format = "text", .repeat = 1};

    if (argc < 2 || asks_help(argc, argv))
    {
        fputs(usage, argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    if (strcmp(argv[1], "--version") == 0)
        return puts("dsocr " DSOCR_VERSION) < 0;
    if (strcmp(argv[1], "serve") == 0)
        return serve_main(argc - 1, argv + 1);
    c.command = argv[1];
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(commands[i].name, c.command) == 0)
        {
            if (!take_options(&c, argc - 1, argv + 1))
                return 2;
            if (c.nfiles > 0)
                return commands[i].run(&c);
            fprintf(stderr, "dsocr: %s needs a file (dsocr --help)\n", c.command);
            return 2;
        }
    fprintf(stderr, "dsocr: no command \"%s\" (dsocr --help)\n", c.command);
    return 2;
}
