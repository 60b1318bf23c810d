/* serve.h - dsocr serve: the engine as a process on a Unix socket. wire.h has the protocol and the command line. */
#ifndef DS_SERVE_H
#define DS_SERVE_H

/* argv[0] is "serve". Returns an exit status of wire.h; a broken device or a dead zygote ends the process at once. */
int serve_main(int argc, char **argv);

#endif
