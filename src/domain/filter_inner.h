/*
 * What the files of filters share: filter.c (compiling) and filter_ask.c (asking). For nobody
 * else; filter.h is the interface.
 */
#ifndef DOMAIN_FILTER_INNER_H
#define DOMAIN_FILTER_INNER_H

#include "domain/filter.h"
#include "domain/glob.h"
#include "domain/json.h"
#include "domain/json_scan.h"

enum filter_kind {
	FILTER_ALL,
	FILTER_ANY,
	FILTER_NOT,
	FILTER_LEAF,
};

enum filter_operator {
	FILTER_EQUALS,
	FILTER_IN,
	FILTER_PREFIX,
	FILTER_SUFFIX,
	FILTER_CONTAINS,
	FILTER_MATCHES,
	FILTER_EXISTS,
	FILTER_GT,
	FILTER_GTE,
	FILTER_LT,
	FILTER_LTE,
	FILTER_OPERATORS,
};

/* A value that a leaf compares with: a string, a number, true, false or null. */
struct filter_value {
	struct slice json; /* canonical; into the filter's JSON */
	struct slice text; /* of a string, decoded; into the filter's texts */
	enum json_type type;
};

/* What asking takes comes first. */
struct filter_leaf {
	enum filter_operator op;
	uint32_t steps; /* at most */
	struct pointer *pointer;
	struct filter_value *values; /* sorted for `in`; owned */
	size_t count;
	double number;               /* of gt … lte */
	struct json_integer integer; /* the same, where it is one */
	bool is_integer;
	struct glob *glob;  /* of `matches`; owned */
	bool wanted;        /* of `exists` */
	struct slice place; /* ".all[2]", the field below that of the filter; owned */
	struct slice path;  /* as it is written; into the filter's JSON */
};

/* A condition; those in it follow it. */
struct filter_node {
	enum filter_kind kind;
	uint16_t end;  /* the index of the first one that is not in it */
	uint16_t leaf; /* of a leaf, its index */
};

struct filter {
	char *json;
	size_t json_len;
	struct buf texts; /* decoded strings; never grows once it is there */
	struct filter_node *nodes;
	size_t node_count;
	struct filter_leaf *leaves;
	size_t leaf_count;
	uint32_t steps;
};

/* As members name them, in the order of enum filter_operator. */
extern const char *const FILTER_OPERATOR_NAMES[FILTER_OPERATORS];

/* Orders values by type, length and bytes; for qsort() and bsearch(). */
int filter_compare_values(const void *a, const void *b);

#endif
