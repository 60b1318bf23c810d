/* faults.h - what the fake engine does wrong, said in words.
 *
 * Words stand in the environment variable DSOCR_FAKE, after --fault, in the file SOCKET.faults (looked at for each
 * message: a test can change its mind under a running server), and in a document's own bytes between "FAKE:" and
 * the next semicolon or line end. They are separated by commas, blanks or lines:
 *
 *   slow=MS          waits before the answer, with PROGRESS four times on the way
 *   silent           never answers
 *   hang             from now on neither answers nor PONGs
 *   stuck            PONGs, but its progress counter stands still
 *   exit=WHERE       ends the process: start, before_go, after_go, after_body, mid_reply
 *   status=N         with this exit status (1)     kill: by SIGKILL instead     segv: by SIGSEGV
 *   garbage          answers with bytes that are no header
 *   oversize         announces an answer of 2^40 bytes
 *   short            an answer that ends before its announced length, then the end of the connection
 *   not_json         an answer that is no JSON
 *   bad_utf8         broken UTF-8 in the text        nul: \u0000 in the text
 *   version=N        all headers carry this protocol version
 *   refuse=STATUS    an ERROR instead of GO          error=STATUS: an ERROR instead of the answer
 *   state=WORD       starting, ready, failed: told by PONG and STATUS; readings of a failed one give not_ready
 *   page_slow=MS     waits before each page          exit_page=N: ends the process when page N would be next
 *   hold=N           in the file alone: readings wait before page N until the file no longer says so
 *   count            each page that is begun, and each that is read, is a line in SOCKET.pages
 *   pages=N          pages of the document           big=BYTES: length of the text of each page
 *   bad_page=N       that page has status error
 *   attempts=N       pages were read so often
 *   once             the file of faults goes when a reading has met them */
#ifndef FAKE_FAULTS_H
#define FAKE_FAULTS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct Faults
{
    int slow, status, version, pages, big, bad_page, page_slow, exit_page, hold, attempts;
    bool silent, hang, stuck, kill, segv, garbage, oversize, short_, not_json, bad_utf8, nul, once,
        count;
    char exit[16], refuse[16], error[16], state[16];
} Faults;

/* Adds the words in text [n bytes]; unknown ones end the process with a message, so that no test tests nothing. */
void faults_add(Faults *f, const char *text, size_t n);

void faults_add_file(Faults *f, const char *path); /* nothing when there is none */
void faults_add_body(Faults *f, const char *body, size_t n);

#endif
