/* Answers with files that are compiled in (base/embedded.h). */
#ifndef API_FILE_REPLY_H
#define API_FILE_REPLY_H

#include "api/call.h"
#include "base/embedded.h"

/*
 * Answers with the file: its type by its name's ending, to be asked for again each time
 * (`Cache-Control: no-cache`), 304 where If-None-Match has its ETag. `f` NULL: 404. Ends the
 * call; headers that were added before go with the answer.
 */
void file_reply(struct call *c, const struct embedded *f);

#endif
