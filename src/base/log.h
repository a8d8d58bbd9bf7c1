/*
 * Log lines, one event a line, as logfmt
 * (level=warn msg="delivery deferred" webhook=… status=503) or as JSON.
 * A decision is logged once, where it is taken. WARN means an operator could
 * act. Secrets and bodies are never fields. errno is preserved. Values may come from
 * peers: what is more than one word of printable ASCII is a JSON string in either form, and
 * what would move, turn or hide something on a terminal is escaped in it (\u202e). A byte
 * that is no UTF-8 is U+FFFD.
 *
 * What a peer can cause over and over is limited: of the lines with the same message for the
 * same webhook so many a second are written, ten seconds' worth at once, and for all webhooks
 * of one session four times as many; the next one says in `held_back` how many were not. Debug
 * lines are not limited. Nothing waits for who reads the lines: what is not taken at once is
 * lost, and the next line says in `lost` how many.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

/* One key and its value, a string or a number; made with LOG_S, LOG_V or LOG_N. */
struct log_field {
	const char *key;
	struct slice str;
	int64_t num;
	bool is_num;
};

#define LOG_S(k, cstr) ((struct log_field){.key = (k), .str = slice_of(cstr)})
#define LOG_V(k, slice_) ((struct log_field){.key = (k), .str = (slice_)})
#define LOG_N(k, n) ((struct log_field){.key = (k), .num = (int64_t)(n), .is_num = true})

void log_setup(enum log_level least, enum log_format format);

/* Limits lines of a kind to so many a second; 0, as before the first call: no limit. */
void log_limit(uint32_t per_second);

/* Whether lines of `level` are written: for callers whose fields cost something to make. */
bool log_enabled(enum log_level level);

#define LOG_LEVELS 4

struct log_figures {
	uint64_t
	    lines[LOG_LEVELS]; /* by level: written, held back or lost; not those too mild */
	uint64_t lost;         /* that nobody took */
};

struct log_figures log_figures(void);

/*
 * Writes one line; `fields` ends with a row whose key is NULL. A field that would
 * make the line too long is left out. Use the macros below, with at least one field.
 */
void log_write(enum log_level level, const char *msg, const struct log_field *fields);

#define LOG_FIELDS(...) ((const struct log_field[]){__VA_ARGS__, {.key = NULL}})
#define log_debug(msg, ...) log_write(LOG_DEBUG, msg, LOG_FIELDS(__VA_ARGS__))
#define log_info(msg, ...) log_write(LOG_INFO, msg, LOG_FIELDS(__VA_ARGS__))
#define log_warn(msg, ...) log_write(LOG_WARN, msg, LOG_FIELDS(__VA_ARGS__))
#define log_error(msg, ...) log_write(LOG_ERROR, msg, LOG_FIELDS(__VA_ARGS__))

/* Ends the process for a bug of our own: prints and aborts. Never for input. */
_Noreturn void log_panic(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* log_panic() if the condition, an impossible state, holds. Always compiled in. */
#define panic_if(cond, ...)                                                                    \
	do {                                                                                   \
		if (cond)                                                                      \
			log_panic(__VA_ARGS__);                                                \
	} while (0)

#endif
