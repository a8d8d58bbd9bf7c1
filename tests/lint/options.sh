#!/bin/sh
# Holds the settings to one story: those of the table in src/server/settings.c, and no others,
# stand in etc/waybill.conf and in the table of docs/operations.md, each with the table's
# default and the table's words on what is allowed.
# usage: options.sh [ROOT]
set -eu
cd "${1:-$(dirname "$0")/../..}"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# NAME|DEFAULT|ALLOWED a setting; no default is "none".
# Here of {.name = "NAME", KIND, AT(…), "DEFAULT" or NULL, "ALLOWED", …}.
sed -n '/SETTINGS\[\] = {/,/^};/p' src/server/settings.c | tr '\n\t' '  ' |
	sed 's/" *"//g; s/{\.name = "/\n&/g' | grep '^{\.name' >"$tmp/rows" || true
sed -nE 's/, +NULL, +"/, "none", "/
	s/^\{\.name = "([a-z_]+)", +KIND_[A-Z]+, +AT\([a-z_]+\), +"([^"]*)", +"([^"]*)".*/\1|\2|\3/p' \
	"$tmp/rows" >"$tmp/code"

# Of "# Allowed: ALLOWED", perhaps "# Default: none. Example:", and "#NAME = VALUE".
awk '
/^# Allowed: / { allowed = substr($0, 12) }
/^# Default: none\. Example:$/ { none = 1 }
/^#[a-z_]+ = / {
	name = substr($1, 2)
	value = $0
	sub(/^[^=]*= /, "", value)
	print name "|" (none ? "none" : value) "|" allowed
	none = 0
	allowed = ""
}' etc/waybill.conf >"$tmp/conf"

# Of "| `NAME` | `DEFAULT` or none | ALLOWED | … |".
# shellcheck disable=SC2016  # these backquotes are Markdown's
sed -nE 's/^\| `([a-z_]+)` \| `?([^`|]*[^`| ])`? \| ([^|]*[^| ]) \|.*/\1|\2|\3/p' \
	docs/operations.md >"$tmp/docs"

bad=0
if [ ! -s "$tmp/rows" ] || [ "$(wc -l <"$tmp/rows")" -ne "$(wc -l <"$tmp/code")" ]; then
	echo "options: the table of src/server/settings.c cannot be read: mend tests/lint/options.sh"
	bad=1
fi
for where in conf:etc/waybill.conf docs:docs/operations.md; do
	LC_ALL=C sort "$tmp/code" >"$tmp/wanted"
	LC_ALL=C sort "$tmp/${where%%:*}" >"$tmp/found"
	if ! cmp -s "$tmp/wanted" "$tmp/found"; then
		echo "options: ${where#*:} differs from src/server/settings.c (- as there, + as here):"
		diff -U 0 "$tmp/wanted" "$tmp/found" | grep '^[-+][^-+]' || true
		bad=1
	fi
done
exit $bad
