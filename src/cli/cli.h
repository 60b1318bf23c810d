/* cli.h - what the commands of `dsocr` share: options, files, the model's place, messages. */
#ifndef DS_CLI_H
#define DS_CLI_H

#include <stdint.h>
#include <stdio.h>

#include "dsocr.h"

typedef struct Cli
{
    const char *command;
    const char *model;      /* --model: a directory or a name */
    const char *adapter;    /* --adapter: a directory or a name */
    const char *backend;    /* --backend */
    const char *format;     /* --format */
    const char *mode;       /* --mode */
    const char *pages;      /* --pages */
    const char *question;   /* --question */
    const char *options;    /* --options JSON */
    const char *stage;      /* --stage */
    const char *prompt;     /* --prompt */
    const char *prompt_ids; /* --prompt-ids */
    int threads, max_tokens, repeat;
    bool no_eos, no_draft, hash, sandbox;
    char **files;
    int nfiles;
} Cli;

int command_read(const Cli *c);
int command_stage(const Cli *c); /* read --stage */
int command_info(const Cli *c);
int command_verify(const Cli *c);
int command_dump(const Cli *c);
int command_bench(const Cli *c);
int bench_sandbox(const Cli *c); /* bench --sandbox */

/* Prints message, detail and hint to stderr behind `what`; returns 1, the command's exit status. */
int complain(const char *what, const DsError *err);

/* The whole file, malloc'd; "-" is standard input. */
DsStatus slurp(const char *path, uint8_t **bytes, size_t *n, DsError *err);

/* A page (from 0) of a file in memory, decoded; pixels are malloc'd. */
DsStatus decode_page(const uint8_t *blob, size_t n, const ImageInfo *info, int page, Image *image,
                     DsError *err);

/* --model, else DSOCR_MODEL, else dsocr-mini: beside the source tree's build or where `make install` put it. */
DsStatus open_engine(const Cli *c, bool tokenizer_optional, DsEngine **e, DsError *err);

/* {"mode", "pages", "question", "options"} as the command line asks for. */
DsStatus cli_request(const Cli *c, DsRequest *r, DsError *err);

#endif
