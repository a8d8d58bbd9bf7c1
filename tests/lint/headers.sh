#!/bin/sh
# Holds the headers of deliveries to one story: those that src/courier/attempt.c and the schemes
# of src/domain/sign.c set, and those of curl, are the table of docs/api.md; no webhook may set
# one of ours (header_is_reserved() in src/domain/header.c); and the names that may not be set are
# those that docs/api.md lists.
# usage: headers.sh [ROOT]
set -eu
cd "${1:-$(dirname "$0")/../..}"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
curls='Host User-Agent Accept Content-Length' # which it adds itself
bad=0

# same WHERE WHOSE WANTED FOUND: two files of names, in any order.
same() {
	LC_ALL=C sort -fu "$3" >"$tmp/wanted"
	LC_ALL=C sort -fu "$4" >"$tmp/found"
	if ! cmp -s "$tmp/wanted" "$tmp/found"; then
		echo "headers: $1 differs from $2 (- as there, + as here):"
		diff -U 0 "$tmp/wanted" "$tmp/found" | grep '^[-+][^-+]' || true
		bad=1
	fi
}

# Of f(q, SLICE("NAME"), …), and of the lists of names in the rows of sign.c.
tr '\n\t' '  ' <src/courier/attempt.c | grep -oE '\(q, +SLICE\("[^"]+"\)' |
	sed 's/.*SLICE("//; s/").*//' >"$tmp/attempt" || true
sed -n '/struct sign_scheme [A-Z]* = {/,/;$/p; /SIGN_SCHEMES\[\] = {/,/^};/p' \
	src/domain/sign.c | tr '\n\t' '  ' |
	grep -oE '[A-Z0-9_]+, +"[^"]*", +\{"[^}]*\}' | sed 's/.*{//' |
	grep -oE '"[^"]+"' | tr -d '"' >"$tmp/sign" || true
cat "$tmp/attempt" "$tmp/sign" >"$tmp/ours"
if [ ! -s "$tmp/attempt" ] || [ ! -s "$tmp/sign" ]; then
	echo "headers: attempt.c or sign.c cannot be read: mend tests/lint/headers.sh"
	bad=1
fi

# Of "| `NAME`, `NAME` | …" in the table of "## 9. The delivery".
# shellcheck disable=SC2016  # these backquotes are Markdown's
sed -n '/^## 9\. The delivery$/,/^### /p' docs/api.md | sed -nE 's/^\| (`[^|]*) \|.*/\1/p' |
	grep -oE '`[^`]+`' | tr -d '`' >"$tmp/table" || true
{
	cat "$tmp/ours"
	echo "$curls" | tr ' ' '\n'
} >"$tmp/sent"
same "docs/api.md, the table of headers" "what attempts have" "$tmp/sent" "$tmp/table"

# Of the array NAMES of header_is_reserved().
sed -n '/^bool header_is_reserved(/,/^}/p' src/domain/header.c |
	sed -n '/NAMES\[\] = {/,/};/p' | grep -oE '"[^"]+"' | tr -d '"' >"$tmp/names" || true
# Authorization may be, where the webhook has no auth: check_together() of webhook_json.c. So may
# those of a trace, in the place of the publisher's: put_trace() of attempt.c.
tr '[:upper:]' '[:lower:]' <"$tmp/ours" |
	grep -vxF -e authorization -e traceparent -e tracestate | while read -r name; do
	grep -qxF "$name" "$tmp/names" ||
		echo "headers: a webhook may set $name: header_is_reserved() of header.c lacks it"
done >"$tmp/free"
if [ -s "$tmp/free" ]; then
	cat "$tmp/free"
	bad=1
fi

# Of the paragraph "`headers` may not have names …", with its lists in backquotes.
# shellcheck disable=SC2016
sed -n '/^`headers` may not have names/,/^$/p' docs/api.md | tr '\n' ' ' |
	sed 's/^`headers`//; s/`Authorization`.*//' | grep -oE '`[^`]+`' | tr -d '`' |
	tr ' ' '\n' | tr '[:upper:]' '[:lower:]' >"$tmp/forbidden" || true
same "docs/api.md, names that headers may not have" "header.c" "$tmp/names" "$tmp/forbidden"
exit $bad
