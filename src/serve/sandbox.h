/* sandbox.h - a decoder child: limits, seccomp, pixels in a shared mapping.
 *
 * Image libraries meet strangers' bytes in a process of one image's life that can do nothing but compute:
 *
 *     engine --order, 3 descriptors--> zygote --fork--> child: image_decode, confined
 *        ^------ answer, then "it ended so" ------------'        pixels through a memfd
 *
 * The zygote is forked by the engine's first act, before any thread, model or device, so that forking stays
 * cheap and clean; it reads orders, forks, reaps and kills, and looks at no image. Whatever a child says is
 * hostile: numbers are judged again against the limits and the mapping, texts are cleaned.
 * Everything but start and stop may be called from several threads at once. */
#ifndef DS_SANDBOX_H
#define DS_SANDBOX_H

#include "../engine/image.h"

typedef struct Sandbox Sandbox;

/* Forks the zygote and waits until it is ready. Call it before anything else starts a thread or opens what
 * a child must not inherit. DS_BROKEN when this machine cannot confine a process. */
DsStatus sandbox_start(Sandbox **sandbox, DsError *err);

/* Ends the zygote and all children. */
void sandbox_stop(Sandbox *sandbox);

/* False once the zygote is gone: the engine then ends with a status of its own. */
bool sandbox_alive(const Sandbox *sandbox);

/* A descriptor for poll(): readable (end of file) when the zygote is gone. */
int sandbox_fd(const Sandbox *sandbox);

/* As image_info, with at most a minute. */
DsStatus sandbox_info(Sandbox *sandbox, const uint8_t *blob, size_t n, const ImageLimits *limits,
                      Arena *arena, ImageInfo *info, DsError *err);

/* As image_decode; out->pixels lies in a mapping that sandbox_release gives back. timeout_ms: 0 for a minute.
 * cancelled (may be NULL) is asked every 10 ms; non-zero kills the child and gives DS_CANCELLED.
 * A child that crashes, breaks its confinement or runs out of memory is DS_BAD_INPUT, one that runs out of
 * time DS_LIMIT, a zygote that is gone DS_BROKEN, too many children at once DS_BUSY. */
DsStatus sandbox_decode(Sandbox *sandbox, const uint8_t *blob, size_t n, int page,
                        const ImageLimits *limits, Image *out, int timeout_ms,
                        int (*cancelled)(void *), void *arg, DsError *err);

/* Gives back the pixels of sandbox_decode; nothing happens when there are none. */
void sandbox_release(Image *image);

#endif
