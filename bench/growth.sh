#!/bin/sh
# Whether the store's file reuses its space: many rounds of events, of 250 bytes to 20 000
# each, of which only the last are kept once they are delivered. Prints Markdown, to FILE
# with --out; fails when an event is lost, and when the file is not below four times what the
# events of a round and those that are kept take: with the default, a tenth of all.
#
# usage: bench/growth.sh [--data DIR] [--out FILE] [--rounds N] [--events M] [--keep BYTES]
#
# A round publishes M events and waits until all have arrived; BYTES of them are kept.
# shellcheck disable=SC2154  # what common.sh sets
set -eu

command="bench/growth.sh${*:+ $*}"
cd "$(dirname "$0")/.."
# shellcheck source=/dev/null
. bench/lib/common.sh

data=./var
out=
rounds=40
events=5000
keep=4194304
body=250
body_max=20000
live_max=4 # a round may begin before the one before is swept, and pages are copied

while [ $# -gt 0 ]; do
	[ $# -ge 2 ] || usage_of bench/growth.sh
	case $1 in
	--data) data=$2 ;;
	--out) out=$2 ;;
	--rounds) rounds=$2 ;;
	--events) events=$2 ;;
	--keep) keep=$2 ;;
	*) usage_of bench/growth.sh ;;
	esac
	shift 2
done
begin "$data" receivers load

begin_program receivers "$programs/receivers"
find_port receivers
receivers_port=$port
serve growth --retention-bytes "$keep"
waybill_pid=$pid
load_all 1 --port "$port" --requests 1 --in-flight 64 \
	--register "http://127.1.0.1:$receivers_port/healthy"

sent=0
first_half=0
second_half=0
round=1
while [ "$round" -le "$rounds" ]; do
	load_all "$events" --port "$port" --requests "$events" --seconds 120 --body "$body" \
		--body-max "$body_max"
	sent=$((sent + events))
	await "$receivers_port" /healthy "$sent"
	kib=$(stat -c %s "$dir/growth.store/waybill.mdb" | awk '{ printf "%d", $1 / 1024 }')
	if [ $((round * 2)) -le "$rounds" ]; then
		[ "$first_half" -ge "$kib" ] || first_half=$kib
	else
		[ "$second_half" -ge "$kib" ] || second_half=$kib
	fi
	# ten rows, and the first rounds, in which it grows to its size
	if [ "$round" -le 3 ] || [ $((round * 10 % rounds)) -lt 10 ]; then
		published=$(calc "$sent * ($body + $body_max) / 2 / 1048576" %.0f)
		echo "| $round | $published | $(calc "$kib / 1024" %.1f)" \
			"| $(calc "$(memory "$waybill_pid") / 1024" %.1f) |" >>"$dir/rows"
	fi
	round=$((round + 1))
done
stop "$waybill_pid"

cat >"$report" <<END
## Growth of the file

$(machine "$command")

$rounds rounds of $events events of $body to $body_max bytes; delivered events are kept up to $(calc "$keep / 1048576" %g) MiB, and a
round begins when all of the one before have arrived. In the second half of the rounds the file is
at most $(calc "$second_half / $first_half") times as large as it was in the first.

| round | published in all, MiB | the store's file, MiB | memory, MiB |
|---|---|---|---|
$(cat "$dir/rows")
END

largest_kib=$second_half
[ "$largest_kib" -ge "$first_half" ] || largest_kib=$first_half
bound 'the file, in KiB,' "$largest_kib" \
	"$(calc "$live_max * ($keep + $events * ($body + $body_max) / 2) / 1024" %.0f)"
finish "$out"
