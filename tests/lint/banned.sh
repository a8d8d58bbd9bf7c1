#!/bin/sh
# Refuses calls of functions that have a safer form here, JSON typed by hand, and notes of
# unfinished work.
# Names in comments, strings and members (x->signal) are not calls.
# usage: banned.sh [ROOT]
set -eu
cd "${1:-$(dirname "$0")/../..}"

bad=0

# shellcheck disable=SC2016  # $0 is for awk
find src tests bench -name '*.[ch]' | LC_ALL=C sort | xargs awk '
BEGIN {
	n = split("strcpy strcat sprintf vsprintf strtok atoi atol atoll gets rand srand " \
	    "localtime signal sleep usleep system popen assert", banned, " ")
}

# What is left of a line without comments and the content of literals. `inside`: a
# comment goes on from the line before.
function code_of(text,    out) {
	out = ""
	while (text != "") {
		if (inside) {
			if (!match(text, /\*\//))
				return out
			text = substr(text, RSTART + 2)
			inside = 0
			continue
		}
		if (!match(text, /"|\047|\/\*|\/\//))
			return out text
		out = out substr(text, 1, RSTART - 1)
		opener = substr(text, RSTART, 2)
		text = substr(text, RSTART)
		if (opener == "//")
			return out
		if (opener == "/*") {
			text = substr(text, 3)
			inside = 1
		} else if (match(text, /^"([^"\\]|\\.)*"|^\047([^\047\\]|\\.)*\047/)) {
			text = substr(text, RLENGTH + 1)
			out = out "0"
		} else {
			text = substr(text, 2)
		}
	}
	return out
}

FNR == 1 {
	inside = 0
}

{
	code = code_of($0)
	if (index(code, "(") == 0)
		next
	for (i = 1; i <= n; i++) {
		if (match(code, "(^|[^A-Za-z0-9_.>])" banned[i] "[ \t]*\\(")) {
			print "banned: " FILENAME ":" FNR ": " banned[i] "()"
			bad = 1
		}
	}
}

END {
	if (NR == 0) {
		print "banned: no C at all"
		bad = 1
	}
	exit bad
}' || bad=1

if grep -rnE --include='*.[ch]' '[A-Za-z0-9_]\\":' src; then
	echo "banned: JSON by hand, above: base/json_write.h writes it"
	bad=1
fi

# The brackets keep these words from finding themselves.
if grep -rnIwE --exclude-dir=corpus --exclude-dir=__pycache__ 'TO[D]O|FIX[M]E|XX[X]' \
	src tests bench etc .ci Makefile; then
	echo "banned: notes of unfinished work, above"
	bad=1
fi

exit $bad
