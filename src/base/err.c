/* Texts of the error codes, made from the same list as the enum. */
#include "base/err.h"

const char *err_text(enum err e)
{
	switch (e) {
#define ERR_TEXT_ROW(code, text)                                                               \
	case code:                                                                             \
		return text;
		ERR_LIST(ERR_TEXT_ROW)
#undef ERR_TEXT_ROW
	}
	return "unknown error";
}
