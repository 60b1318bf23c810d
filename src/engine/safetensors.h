/* safetensors.h - weight files mapped; a tensor by name, inside its bounds. Spec 1.3.
 *
 * A model directory holds model.safetensors.index.json and the files it names, or one or more *.safetensors
 * without an index. Everything a header says is checked before a byte of data is looked at: known dtype, size =
 * shape x dtype, inside the file, no overlap, no name twice, index and files agree. The index's total_size is
 * not looked at: the published one is wrong. Sharp edge: the files stay mapped; do not truncate them. */
#ifndef DS_SAFETENSORS_H
#define DS_SAFETENSORS_H

#include "status.h"
#include "tensor.h"

typedef struct SafeTensors SafeTensors;

typedef struct SafeTensor
{
    const char *name;
    Tensor tensor;
    int file;            /* which */
    uint64_t begin, end; /* bytes after that file's header */
} SafeTensor;

/* DS_NOT_READY with the file and the tensor at fault. */
DsStatus safetensors_open(const char *dir, SafeTensors **out, DsError *err);
void safetensors_close(SafeTensors *s);

int safetensors_count(const SafeTensors *s);
const SafeTensor *safetensors_at(const SafeTensors *s, int i); /* ascending by name */
const SafeTensor *safetensors_find(const SafeTensors *s, const char *name);

/* The files in name order: their bytes, for a hash; NULL past the last. */
const void *safetensors_file(const SafeTensors *s, int i, const char **name, size_t *n);

/* One file's bytes: parses the header alone (the fuzz target's way in). tensors: malloc'd [*count], names too in
 * the one block *names; `file` is given to each. */
DsStatus safetensors_parse(const void *bytes, size_t n, const char *file_name, int file,
                           SafeTensor **tensors, int *count, DsError *err);
void safetensors_parsed_free(SafeTensor *tensors, int count);

#endif
