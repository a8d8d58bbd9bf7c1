#!/bin/sh
# Runs all benchmarks, one after the other (about ten minutes), and writes one document.
# It fails when one of them does, and then writes nothing.
#
# usage: bench/all.sh [--data DIR] [--out FILE]     (docs/benchmarks.md)
set -eu
cd "$(dirname "$0")/.."

data=./var
out=docs/benchmarks.md
while [ $# -gt 0 ]; do
	case "$1" in
	--data) data=${2?} ;;
	--out) out=${2?} ;;
	*)
		echo "usage: bench/all.sh [--data DIR] [--out FILE]" >&2
		exit 2
		;;
	esac
	shift 2
done

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$data"
for name in run isolation backlog many growth; do
	"bench/$name.sh" --data "$data" --out "$tmp/$name.md"
	# the place of the part is no part of the command
	sed "s: --out $tmp/$name\.md::" "$tmp/$name.md" >>"$tmp/all.md"
	echo >>"$tmp/all.md"
done
cat >>"$tmp/all.md" <<'END'
## How to read them

One machine made all figures, and its processors had other work too: ratios within a table say
more than the figures. What the engine is held to:

- Isolation: the healthy webhooks' p99, with 250 of 1000 in trouble, at most twice that of all healthy.
- Backlog: memory with 1 000 000 deliveries waiting below 64 MiB and below 1.10 times that with
  10 000; the first answer after a restart within a second; publishing and delivering to others
  at most 1.2 times as dear as with nothing waiting.
- Many webhooks: an idle one below 1 KiB; the start with 100 000 within two seconds; publishing
  does not depend on how many there are.
- Growth: the file reuses its space.
END
cp "$tmp/all.md" "$out"
