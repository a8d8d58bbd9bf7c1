/*
 * The one error vocabulary of the program. Functions that can fail return
 * `enum err`; OK is zero. Who may act on which code is said here once.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

#define ERR_LIST(X)                                                                            \
	X(OK, "ok")                                                                            \
	X(ERR_INVALID, "not valid")                /* the caller's input breaks a rule */      \
	X(ERR_SYNTAX, "malformed")                 /* bytes that do not parse at all */        \
	X(ERR_TOOBIG, "over a limit")              /* larger than a named limit */             \
	X(ERR_NOTFOUND, "not found")               /* no such record */                        \
	X(ERR_EXISTS, "exists already")            /* a unique key is taken */                 \
	X(ERR_CONFLICT, "in conflict")             /* the record's state forbids it */         \
	X(ERR_REFUSED, "refused by policy")        /* allowed nowhere in the configuration */  \
	X(ERR_NOSPACE, "no space left")            /* disk or map is full; try again later */  \
	X(ERR_BUSY, "busy")                        /* a limit in time; try again later */      \
	X(ERR_FULL, "queue full")                  /* too much waits; try again later */       \
	X(ERR_CORRUPT, "corrupt record")           /* a checksum or a length is wrong */       \
	X(ERR_IO, "input/output error")            /* a system call failed, errno says why */  \
	X(ERR_STORE, "store failed, still usable") /* void: this transaction, not the next */  \
	X(ERR_BROKEN, "store broken")              /* outcome unknown: log, exit, restart */

#define ERR_ENUM_ROW(code, text) code,
enum err { ERR_LIST(ERR_ENUM_ROW) };
#undef ERR_ENUM_ROW

/* Returns a constant English text for `e`; never NULL. */
const char *err_text(enum err e);

#endif
