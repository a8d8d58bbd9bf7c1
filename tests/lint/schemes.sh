#!/bin/sh
# Holds the signature schemes to one story: those of the table in src/domain/sign.c, and no
# others, are what docs/openapi.yaml lets a webhook choose, what the setting default_signature
# may be, what docs/api.md says of the field and of signatures, and their codes what
# docs/architecture.md has of the record.
# usage: schemes.sh [ROOT]
set -eu
cd "${1:-$(dirname "$0")/../..}"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
bad=0

# Of {"NAME", CODE, "SUMMARY", {…: "NAME CODE" a scheme.
sed -n '/SIGN_SCHEMES\[\] = {/,/^};/p' src/domain/sign.c | tr '\n\t' '  ' |
	grep -oE '\{"[^"]*", +SIGNATURE_[A-Z0-9_]+, +"[^"]*", +\{' |
	sed -E 's/^\{"([^"]*)", +(SIGNATURE_[A-Z0-9_]+).*/\1 \2/' >"$tmp/rows" || true
cut -d ' ' -f 1 "$tmp/rows" >"$tmp/names"
while read -r name code; do
	grep -oE "$code = [0-9]+" src/domain/sign.h | grep -oE '[0-9]+$' ||
		echo "$name has no code in src/domain/sign.h"
done <"$tmp/rows" >"$tmp/codes"
if [ "$(grep -c SIGNATURE_ "$tmp/rows")" -ne \
	"$(sed -n '/SIGN_SCHEMES\[\] = {/,/^};/p' src/domain/sign.c | grep -c SIGNATURE_)" ] ||
	[ ! -s "$tmp/rows" ]; then
	echo "schemes: the table of src/domain/sign.c cannot be read: mend tests/lint/schemes.sh"
	bad=1
fi

# same WHERE WANTED: standard input has the lines of this file.
same() {
	cat >"$tmp/found"
	if ! cmp -s "$2" "$tmp/found"; then
		echo "schemes: $1 differs from src/domain/sign.c (- as there, + as here):"
		diff -U 0 "$2" "$tmp/found" | grep '^[-+][^-+]' || true
		bad=1
	fi
}

# Of "Scheme:", below it its type and "enum: [NAME, NAME]".
sed -nE '/^ +Scheme:$/{n;n;s/^ +enum: \[(.*)\]$/\1/p;}' docs/openapi.yaml | tr -d ' ' |
	tr ',' '\n' >"$tmp/here"
same "docs/openapi.yaml, the enum of signature" "$tmp/names" <"$tmp/here"

# Of "Signature:" its first "pattern: '^(NAME|NAME)$'".
sed -nE "/^ +Signature:\$/,/pattern/s/^ +pattern: '\^\((.*)\)\\$'\$/\1/p" docs/openapi.yaml |
	tr '|' '\n' >"$tmp/here"
same "docs/openapi.yaml, the pattern of signature" "$tmp/names" <"$tmp/here"

# Of "| `signature` | `"NAME"`, `"NAME"` | …".
# shellcheck disable=SC2016  # these backquotes are Markdown's
sed -nE 's/^\| `signature` \| ([^|]*) \|.*/\1/p' docs/api.md | grep -oE '[^`", ]+' \
	>"$tmp/here" || true
same "docs/api.md, the field signature" "$tmp/names" <"$tmp/here"

# Of "| `HEADER`, NAME | …" below "### Signatures".
# shellcheck disable=SC2016
sed -n '/^### Signatures$/,/^##* /p' docs/api.md | sed -nE 's/^\| `[^`]+`, ([^ |]+) \|.*/\1/p' \
	>"$tmp/here"
same "docs/api.md, the table of Signatures" "$tmp/names" <"$tmp/here"

# Of "| 1 | signature: 1 or 2, or the sum … | …".
sed -nE 's/^\| 1 \| signature: ([^|]*) \|.*/\1/p' docs/architecture.md | sed 's/, or the sum.*//' | grep -oE '[0-9]+' \
	>"$tmp/here" || true
same "docs/architecture.md, the record's signature" "$tmp/codes" <"$tmp/here"

# Of {.name = "default_signature", …, "NAME or NAME", …}.
sed -n '/"default_signature"/{n;p;}' src/server/settings.c | grep -oE '"[^"]*"' | tr -d '"' |
	sed 's/, or several.*//; s/,* or /\n/; s/, */\n/g' >"$tmp/here"
same "src/server/settings.c, what default_signature may be," "$tmp/names" <"$tmp/here"
exit $bad
