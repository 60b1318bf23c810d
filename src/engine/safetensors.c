/* safetensors.c - weight files mapped; a tensor by name, inside its bounds. Spec 1.3.
 *
 * In: a directory. Out: tensors that can be read without any further check.
 * Sharp edges: a header's offsets count from the byte after the header; no alignment beyond a byte is promised. */
#include "safetensors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arena.h"

#define MAX_FILES  1000
#define MAX_HEADER (100u << 20)

typedef struct WeightFile
{
    char name[256];
    void *bytes;
    size_t n;
} WeightFile;

struct SafeTensors
{
    int nfiles, ntensors;
    WeightFile *files;   /* in name order */
    SafeTensor *tensors; /* ascending by name; each name is malloc'd */
};

/* ---- one header ---- */

static const struct
{
    const char *name;
    DType dtype;
    int size;
} dtypes[] = {
    {"BF16", DTYPE_BF16, 2},  {"F16", DTYPE_F16, 2},       {"F32", DTYPE_F32, 4},
    {"F64", DTYPE_OTHER, 8},  {"I64", DTYPE_OTHER, 8},     {"I32", DTYPE_OTHER, 4},
    {"I16", DTYPE_OTHER, 2},  {"I8", DTYPE_OTHER, 1},      {"U64", DTYPE_OTHER, 8},
    {"U32", DTYPE_OTHER, 4},  {"U16", DTYPE_OTHER, 2},     {"U8", DTYPE_OTHER, 1},
    {"BOOL", DTYPE_OTHER, 1}, {"F8_E4M3", DTYPE_OTHER, 1}, {"F8_E5M2", DTYPE_OTHER, 1},
};

static DsStatus
bad(DsError *err, const char *file, const char *tensor, const char *what)
{
    ds_fail(err, DS_NOT_READY, "weight file \"%s\" cannot be used", file);
    if (tensor)
        ds_detail(err, "Tensor \"%s\" %s.", tensor, what);
    else
        ds_detail(err, "The reason: %s.", what);
    return ds_hint(err, "Fetch the model's files again; compare their sizes with the publisher's.");
}

/* The dtype's index in dtypes, or -1. */
static int
dtype_index(const char *name)
{
    for (size_t i = 0; name && i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(name, dtypes[i].name) == 0)
            return (int)i;
    return -1;
}

static const char *
parse_shape(const json_t *shape, Tensor *t)
{
    if (!json_is_array(shape))
        return "has no shape";
    if (json_array_size(shape) > TENSOR_RANK)
        return "has too many dimensions";
    t->rank = (int)json_array_size(shape);
    t->count = 1;
    for (int i = 0; i < t->rank; i++)
    {
        const json_t *size = json_array_get(shape, (size_t)i);

        t->shape[i] = json_integer_value(size);
        if (!json_is_integer(size) || t->shape[i] < 0 ||
            ds_mul(&t->count, t->count, (uint64_t)t->shape[i]))
            return "has a shape that is not a size";
    }
    return NULL;
}

static const char *
parse_offsets(const json_t *offsets, uint64_t size, uint64_t data_bytes, SafeTensor *t)
{
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    uint64_t bytes;

    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
        return "has no sound data_offsets";
    t->begin = (uint64_t)json_integer_value(begin);
    t->end = (uint64_t)json_integer_value(end);
    if (ds_mul(&bytes, t->tensor.count, size) || t->end - t->begin != bytes)
        return "has data_offsets that do not fit its shape and dtype";
    if (t->end > data_bytes)
        return "ends after the end of the file: the file is cut short";
    return NULL;
}

static const char *
parse_entry(const json_t *entry, const char *data, uint64_t data_bytes, SafeTensor *t)
{
    int dtype = dtype_index(json_string_value(json_object_get(entry, "dtype")));
    const char *wrong;

    if (dtype < 0)
        return "has an unknown dtype";
    t->tensor.dtype = dtypes[dtype].dtype;
    if ((wrong = parse_shape(json_object_get(entry, "shape"), &t->tensor)) ||
        (wrong = parse_offsets(json_object_get(entry, "data_offsets"), (uint64_t)dtypes[dtype].size,
                               data_bytes, t)))
        return wrong;
    t->tensor.data = data + t->begin;
    return NULL;
}

static int
by_place(const void *a, const void *b)
{
    const SafeTensor *x = a, *y = b;

    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static int
by_name(const void *a, const void *b)
{
    return strcmp(((const SafeTensor *)a)->name, ((const SafeTensor *)b)->name);
}

/* Every byte belongs to at most one tensor. Leaves the tensors in the order of their places. */
static DsStatus
check_overlap(SafeTensor *t, int n, const char *file_name, DsError *err)
{
    qsort(t, (size_t)n, sizeof *t, by_place);
    for (int i = 1; i < n; i++)
        if (t[i].begin < t[i - 1].end)
        {
            bad(err, file_name, t[i].name, "overlaps another");
            return ds_detail(err, "Tensor \"%s\" overlaps \"%s\": it begins at byte %llu of %llu.",
                             t[i].name, t[i - 1].name, (unsigned long long)t[i].begin,
                             (unsigned long long)t[i - 1].end);
        }
    return DS_OK;
}

static DsStatus
parse_entries(json_t *header, const char *data, uint64_t data_bytes, const char *file_name,
              int file, SafeTensor *t, int *count, DsError *err)
{
    const char *name, *wrong;
    json_t *entry;

    json_object_foreach(header, name, entry)
    {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        t[*count].file = file;
        if ((wrong = parse_entry(entry, data, data_bytes, &t[*count])))
            return bad(err, file_name, name, wrong);
        if ((t[*count].name = strdup(name)) == NULL)
            return ds_fail(err, DS_BROKEN, "out of memory for the names of weights");
        (*count)++;
    }
    return check_overlap(t, *count, file_name, err);
}

static json_t *
load_header(const char *bytes, size_t n, const char *file_name, uint64_t *length, DsError *err)
{
    json_error_t fault;
    json_t *header;

    *length = 0;
    for (int i = 0; n >= 8 && i < 8; i++)
        *length |= (uint64_t)(uint8_t)bytes[i] << (8 * i);
    if (n < 8 || *length > n - 8 || *length > MAX_HEADER || *length < 2)
    {
        bad(err, file_name, NULL, "it does not begin with a header of sound length");
        return NULL;
    }
    header = json_loadb(bytes + 8, (size_t)*length, JSON_REJECT_DUPLICATES, &fault);
    if (!json_is_object(header))
    {
        bad(err, file_name, NULL, "its header is not a JSON object");
        if (header == NULL)
            ds_detail(err, "%s at byte %d of the header", fault.text, fault.position);
        json_decref(header);
        return NULL;
    }
    return header;
}

void
safetensors_parsed_free(SafeTensor *tensors, int count)
{
    for (int i = 0; i < count; i++)
        free((char *)tensors[i].name);
    free(tensors);
}

DsStatus
safetensors_parse(const void *bytes, size_t n, const char *file_name, int file,
                  SafeTensor **tensors, int *count, DsError *err)
{
    uint64_t length;
    json_t *header = load_header(bytes, n, file_name, &length, err);
    DsStatus st;

    *tensors = NULL;
    *count = 0;
    if (header == NULL)
        return DS_NOT_READY;
    *tensors = calloc(json_object_size(header) + 1, sizeof **tensors);
    if (*tensors == NULL)
        st = ds_fail(err, DS_BROKEN, "out of memory for the list of weights");
    else
        st = parse_entries(header, (const char *)bytes + 8 + length, n - 8 - length, file_name,
                           file, *tensors, count, err);
    json_decref(header);
    if (st)
    {
        safetensors_parsed_free(*tensors, *count);
        *tensors = NULL;
        *count = 0;
    }
    return st;
}

/* ---- the directory ---- */

static DsStatus
map_file(const char *dir, WeightFile *f, DsError *err)
{
    char path[4096];
    struct stat st;
    int fd;

    snprintf(path, sizeof path, "%s/%s", dir, f->name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
    {
        ds_fail(err, DS_NOT_READY, "weight file \"%s\" cannot be opened", f->name);
        ds_detail(err, "%s: %s", path, fd < 0 ? strerror(errno) : "it is empty or no file");
        if (fd >= 0)
            close(fd);
        return ds_hint(err, "Look at the model directory and its permissions.");
    }
    f->n = (size_t)st.st_size;
    f->bytes = mmap(NULL, f->n, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (f->bytes == MAP_FAILED)
    {
        f->bytes = NULL;
        return ds_fail(err, DS_NOT_READY, "weight file \"%s\" cannot be mapped: %s", f->name,
                       strerror(errno));
    }
    return DS_OK;
}

/* A name from an index must stay in its directory. */
static DsStatus
add_file(SafeTensors *s, const char *name, DsError *err)
{
    for (int i = 0; i < s->nfiles; i++)
        if (strcmp(s->files[i].name, name) == 0)
            return DS_OK;
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') ||
        strlen(name) >= sizeof s->files->name)
        return ds_fail(err, DS_NOT_READY, "the index of weights names the file \"%.100s\"", name);
    if (s->nfiles == MAX_FILES)
        return ds_fail(err, DS_NOT_READY, "the model has more than %d weight files", MAX_FILES);
    snprintf(s->files[s->nfiles++].name, sizeof s->files->name, "%s", name);
    return DS_OK;
}

static int
file_by_name(const void *a, const void *b)
{
    return strcmp(((const WeightFile *)a)->name, ((const WeightFile *)b)->name);
}

/* *map: the index's weight_map, to be given back, or NULL when there is no index. */
static DsStatus
load_index(const char *dir, json_t **map, DsError *err)
{
    char path[4096];
    json_error_t fault;
    json_t *index;

    *map = NULL;
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", dir);
    if (access(path, F_OK) != 0)
        return DS_OK;
    index = json_load_file(path, JSON_REJECT_DUPLICATES, &fault);
    *map = json_incref(json_object_get(index, "weight_map"));
    json_decref(index);
    if (json_is_object(*map))
        return DS_OK;
    json_decref(*map);
    *map = NULL;
    ds_fail(err, DS_NOT_READY, "model.safetensors.index.json has no weight_map");
    return index ? DS_NOT_READY : ds_detail(err, "%s: line %d: %s", path, fault.line, fault.text);
}

static DsStatus
files_of_index(SafeTensors *s, json_t *map, DsError *err)
{
    const char *tensor;
    json_t *file;
    DsStatus st;

    json_object_foreach(map, tensor, file)
    {
        if (!json_is_string(file))
            return ds_fail(err, DS_NOT_READY,
                           "the index of weights gives no file for tensor \"%s\"", tensor);
        if ((st = add_file(s, json_string_value(file), err)))
            return st;
    }
    return DS_OK;
}

static DsStatus
files_of_directory(SafeTensors *s, const char *dir, DsError *err)
{
    static const char suffix[] = ".safetensors";
    DIR *d = opendir(dir);
    const struct dirent *entry;
    DsStatus st = DS_OK;

    if (d == NULL)
    {
        ds_fail(err, DS_NOT_READY, "the model directory cannot be opened");
        ds_detail(err, "%s: %s", dir, strerror(errno));
        return ds_hint(err, "Give the path of a directory with config.json, tokenizer.json and "
                            "*.safetensors.");
    }
    while (st == DS_OK && (entry = readdir(d)) != NULL)
    {
        size_t n = strlen(entry->d_name);

        if (n >= sizeof suffix && strcmp(entry->d_name + n - (sizeof suffix - 1), suffix) == 0 &&
            entry->d_name[0] != '.')
            st = add_file(s, entry->d_name, err);
    }
    closedir(d);
    if (st == DS_OK && s->nfiles == 0)
    {
        st = ds_fail(err, DS_NOT_READY, "the model directory holds no *.safetensors");
        ds_detail(err, "%s", dir);
    }
    return st;
}

static DsStatus
load_file(SafeTensors *s, const char *dir, int i, DsError *err)
{
    WeightFile *f = &s->files[i];
    SafeTensor *more, *all;
    int n;
    DsStatus st;

    if ((st = map_file(dir, f, err)) ||
        (st = safetensors_parse(f->bytes, f->n, f->name, i, &more, &n, err)))
        return st;
    all = realloc(s->tensors, ((size_t)s->ntensors + (size_t)n + 1) * sizeof *all);
    if (all == NULL)
    {
        safetensors_parsed_free(more, n);
        return ds_fail(err, DS_BROKEN, "out of memory for the list of weights");
    }
    memcpy(all + s->ntensors, more, (size_t)n * sizeof *all);
    s->tensors = all;
    s->ntensors += n;
    free(more);
    return DS_OK;
}

/* The index and the files must tell the same story. */
static DsStatus
check_index(const SafeTensors *s, const json_t *map, DsError *err)
{
    const char *name;
    json_t *file;

    json_object_foreach((json_t *)map, name, file)
    {
        const SafeTensor *t = safetensors_find(s, name);

        if (t == NULL || strcmp(s->files[t->file].name, json_string_value(file)) != 0)
            return bad(err, json_string_value(file), name, "is in the index and not in this file");
    }
    for (int i = 0; i < s->ntensors; i++)
        if (json_object_get(map, s->tensors[i].name) == NULL)
            return bad(err, s->files[s->tensors[i].file].name, s->tensors[i].name,
                       "is in the file and not in the index");
    return DS_OK;
}

static DsStatus
load_files(SafeTensors *s, const char *dir, const json_t *map, DsError *err)
{
    DsStatus st;

    qsort(s->files, (size_t)s->nfiles, sizeof *s->files, file_by_name);
    for (int i = 0; i < s->nfiles; i++)
        if ((st = load_file(s, dir, i, err)))
            return st;
    if (s->ntensors == 0)
        return ds_fail(err, DS_NOT_READY, "the weight files hold no tensor");
    qsort(s->tensors, (size_t)s->ntensors, sizeof *s->tensors, by_name);
    for (int i = 1; i < s->ntensors; i++)
        if (strcmp(s->tensors[i].name, s->tensors[i - 1].name) == 0)
            return bad(err, s->files[s->tensors[i].file].name, s->tensors[i].name,
                       "is in another file too");
    return map ? check_index(s, map, err) : DS_OK;
}

DsStatus
safetensors_open(const char *dir, SafeTensors **out, DsError *err)
{
    SafeTensors *s = calloc(1, sizeof *s);
    json_t *map = NULL;
    DsStatus st;

    *out = NULL;
    if (s == NULL || (s->files = calloc(MAX_FILES, sizeof *s->files)) == NULL)
        st = ds_fail(err, DS_BROKEN, "out of memory for the list of weight files");
    else if ((st = load_index(dir, &map, err)) == DS_OK &&
             (st = map ? files_of_index(s, map, err) : files_of_directory(s, dir, err)) == DS_OK)
        st = load_files(s, dir, map, err);
    json_decref(map);
    if (st)
    {
        safetensors_close(s);
        return st;
    }
    *out = s;
    return DS_OK;
}

void
safetensors_close(SafeTensors *s)
{
    if (s == NULL)
        return;
    for (int i = 0; s->files && i < s->nfiles; i++)
        if (s->files[i].bytes)
            munmap(s->files[i].bytes, s->files[i].n);
    safetensors_parsed_free(s->tensors, s->ntensors);
    free(s->files);
    free(s);
}

int
safetensors_count(const SafeTensors *s)
{
    return s->ntensors;
}

const SafeTensor *
safetensors_at(const SafeTensors *s, int i)
{
    return &s->tensors[i];
}

const SafeTensor *
safetensors_find(const SafeTensors *s, const char *name)
{
    SafeTensor wanted = {.name = name};

    return bsearch(&wanted, s->tensors, (size_t)s->ntensors, sizeof *s->tensors, by_name);
}

const void *
safetensors_file(const SafeTensors *s, int i, const char **name, size_t *n)
{
    if (i < 0 || i >= s->nfiles)
        return NULL;
    *name = s->files[i].name;
    *n = s->files[i].n;
    return s->files[i].bytes;
}
