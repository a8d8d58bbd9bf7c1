#!/bin/sh
# Runs all benchmarks, about ten minutes, and writes their tables in one document, each with
# the command that makes it. Fails when one of them does; what it had to say is then in the
# document all the same, as far as it came.
#
# usage: bench/all.sh [--data DIR] [--out FILE] [--quick]
#
# --quick is for trying the benchmarks: its figures say little.
set -eu

cd "$(dirname "$0")/.."
data=./var
out=docs/benchmarks.md
quick=

usage() {
	sed -n 's/^# \(usage:.*\)/\1/p' bench/all.sh >&2
	exit 2
}

while [ $# -gt 0 ]; do
	case $1 in
	--quick)
		quick=yes
		shift
		continue
		;;
	esac
	[ $# -ge 2 ] || usage
	case $1 in
	--data) data=$2 ;;
	--out) out=$2 ;;
	*) usage ;;
	esac
	shift 2
done

mkdir -p "$data"
parts=$(mktemp -d "$data/all.XXXXXX")
trap 'rm -rf "$parts"' EXIT
trap 'exit 1' INT TERM
failed=0

# section NAME OPTION…: runs bench/NAME.sh, with the options where it is to be quick.
section() {
	name=$1
	shift
	[ -n "$quick" ] || set --
	[ "$data" = ./var ] || set -- --data "$data" "$@"
	echo "bench: $name.sh${*:+ $*}" >&2
	if ! "bench/$name.sh" "$@" >"$parts/$name" 2>"$parts/err"; then
		failed=1
		cat "$parts/err" >&2
		# what it writes last says why
		[ -s "$parts/$name" ] || printf '## %s\n' "$name" >"$parts/$name"
		printf '\n**Failed: %s**\n' "$(tail -n 1 "$parts/err")" >>"$parts/$name"
	fi
	{
		echo
		cat "$parts/$name"
	} >>"$parts/document"
}

cat >"$parts/document" <<'END'
# Benchmarks

Written by `bench/all.sh`; every table also by the command above it, after `make build/waybill
bench`. All of it ran on one machine, over loopback: waybill shares the processors with those that
publish and those that receive. The ratios are what carries over to others; where several runs
are compared they were made in turn, and the figures are medians.
END

section run --seconds 2 --parts-seconds 1
section isolation --seconds 10 --rounds 1
section backlog --few 10000 --many 100000 --seconds 1 --rounds 2
section many --webhooks 20000 --seconds 1 --rounds 2
section growth --rounds 8 --events 2000

cat >>"$parts/document" <<'END'

## How to read them

One machine made all figures, and its processors may have had other work too: ratios within a
table say more than the figures. What the engine is held to:

- Isolation: the healthy webhooks' p99, with 250 of 1000 in trouble, at most twice that of all
  healthy.
- Backlog: memory with 1 000 000 deliveries waiting below 64 MiB and below 1.10 times that with
  10 000; the first answer after a restart within a second; publishing and delivering to others
  at most 1.2 times as dear as with nothing waiting.
- Many webhooks: an idle one below 1 KiB; the start with 100 000 within two seconds; publishing
  does not depend on how many there are. One webhook alone is cheaper than 1000: its records,
  its connections and its key stay in the processor's caches.
- Growth: the file reuses its space.
END
mv "$parts/document" "$out"
echo "bench: the figures are in $out" >&2
exit "$failed"
