#!/bin/sh
# Holds C to sizes that a reader can take in: a .c of 1000 lines, a .h of 200, lines of 96
# columns with tabs of 8, and but for the tests with their tables, a function of 60 lines
# from its name to its closing brace. It relies on clang-format: a function opens and
# closes with a brace in column 1.
# usage: sizes.sh [ROOT]
set -eu
cd "${1:-$(dirname "$0")/../..}"

# shellcheck disable=SC2016  # $0 is for awk
find src tests bench -name '*.[ch]' | LC_ALL=C sort | LC_ALL=C xargs awk '
function refuse(where, why) {
	print "sizes: " where ": " why
	bad = 1
}

# Columns of a line of UTF-8.
function columns(text,    n, i) {
	gsub(/[\200-\277]/, "", text)
	n = length(text)
	if (index(text, "\t") == 0)
		return n
	n = 0
	for (i = 1; i <= length(text); i++)
		n = substr(text, i, 1) == "\t" ? n + 8 - n % 8 : n + 1
	return n
}

function end_file() {
	most = last ~ /\.h$/ ? 200 : 1000
	if (lines > most)
		refuse(last, lines " lines, at most " most)
}

FNR == 1 {
	if (NR > 1)
		end_file()
	last = FILENAME
	opened = 0
}

{
	lines = FNR
	if (length($0) > 12 && columns($0) > 96)
		refuse(FILENAME ":" FNR, columns($0) " columns, at most 96")
}

/^[A-Za-z_]/ {
	start = FNR
	name = $0
	sub(/\(.*/, "", name)
	sub(/.*[^A-Za-z0-9_]/, "", name)
}

/^{/ {
	opened = 1
}

/^}/ {
	if (opened && FNR - start + 1 > 60 && FILENAME !~ /^tests/)
		refuse(FILENAME ":" start, name "() has " FNR - start + 1 " lines, at most 60")
	opened = 0
}

END {
	if (NR == 0)
		refuse("src", "no C at all")
	else
		end_file()
	exit bad
}'
