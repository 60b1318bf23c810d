/* supervisor.h - the background worker that owns the engine process. */
#ifndef DS_SUPERVISOR_H
#define DS_SUPERVISOR_H

extern void supervisor_register(void); /* only while shared_preload_libraries are loaded */

#endif
