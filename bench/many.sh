#!/bin/sh
# What webhooks cost that have nothing to do: 100 000 of them in as many sessions. Memory
# for each, the start, and publishing to sessions at random, against the same with 1000 and
# with one. Prints Markdown, to FILE with --out; fails when an event is
# lost, and when an idle webhook takes 1 KiB of memory or more.
#
# usage: bench/many.sh [--data DIR] [--out FILE] [--webhooks N] [--seconds T] [--rounds N]
#
# The load is published for T seconds to each of the three gateways in turn, that N times.
# shellcheck disable=SC2154  # what common.sh sets
set -eu

command="bench/many.sh${*:+ $*}"
cd "$(dirname "$0")/.."
# shellcheck source=/dev/null
. bench/lib/common.sh

data=./var
out=
webhooks=100000
some=1000
seconds=5
rounds=5
webhook_max_bytes=1024

while [ $# -gt 0 ]; do
	[ $# -ge 2 ] || usage_of bench/many.sh
	case $1 in
	--data) data=$2 ;;
	--out) out=$2 ;;
	--webhooks) webhooks=$2 ;;
	--seconds) seconds=$2 ;;
	--rounds) rounds=$2 ;;
	*) usage_of bench/many.sh ;;
	esac
	shift 2
done
begin "$data" receivers load started

begin_program receivers "$programs/receivers"
find_port receivers
receivers_port=$port

# prepare NAME N: a gateway with N webhooks, started again; sets pid, port and its figures.
prepare() {
	serve "$1"
	load_all "$2" --port "$port" --requests "$2" --sessions "$2" --seconds 600 \
		--in-flight 64 --register "http://127.1.0.1:$receivers_port/healthy/$1/{n}"
	registered_rate=$(field rate "$result")
	registered_kib=$(memory "$pid")
	stop "$pid"
	serve_again "$1" "$port"
	started_kib=$(memory "$pid")
}

# measure NAME PORT SESSIONS: publishes to sessions at random; notes what came of it.
measure() {
	before=$(field unique "$(counts_of "$receivers_port" /healthy)")
	used_ms=$(cpu "$4")
	load --port "$2" --seconds "$seconds" --sessions "$3" --random
	await "$receivers_port" /healthy $((before + accepted))
	used_ms=$(calc "$(cpu "$4") - $used_ms" %.0f)
	first_us=$(field first_us "$result")
	{
		echo "$1 rate $(calc "$accepted * 1e6 / ($(field last_us "$counts") - $first_us)" %.0f)"
		echo "$1 published $(field rate "$result")"
		echo "$1 p50_us $(field p50_us "$result")"
		echo "$1 p99_us $(field p99_us "$result")"
		echo "$1 cpu_us $(calc "$used_ms * 1000 / $accepted" %.1f)"
	} >>"$dir/figures"
}

# figure NAME WHAT: its median over the rounds.
figure() {
	# shellcheck disable=SC2046  # a list of numbers
	median $(sed -n "s/^$1 $2 //p" "$dir/figures")
}

# row LABEL WHAT: the median of each, and how many times the cost many webhooks have.
row() {
	all=$(figure many "$2")
	case $2 in
	*_us) cost="$all / $(figure one "$2")|$all / $(figure some "$2")" ;;
	*) cost="$(figure one "$2") / $all|$(figure some "$2") / $all" ;;
	esac
	echo "| $1 | $(figure one "$2") | $(figure some "$2") | $all" \
		"| $(calc "${cost%|*}") | $(calc "${cost#*|}") |"
}

mib() {
	calc "$1 / 1024" %.1f
}

prepare one 1
one_pid=$pid one_port=$port one_registered=$registered_kib one_started=$started_kib
one_ms=$start_ms
prepare some "$some"
some_pid=$pid some_port=$port some_registered=$registered_kib some_started=$started_kib
some_ms=$start_ms
prepare many "$webhooks"
many_pid=$pid many_port=$port many_registered=$registered_kib many_started=$started_kib
many_ms=$start_ms
file_kib=$(stat -c %s "$dir/many.store/waybill.mdb" | awk '{ print $1 / 1024 }')

round=0
while [ "$round" -lt "$rounds" ]; do
	measure one "$one_port" 1 "$one_pid"
	measure some "$some_port" "$some" "$some_pid"
	measure many "$many_port" "$webhooks" "$many_pid"
	round=$((round + 1))
done
one_loaded=$(memory "$one_pid")
some_loaded=$(memory "$some_pid")
many_loaded=$(memory "$many_pid")
stop "$one_pid"
stop "$some_pid"
stop "$many_pid"

registered=$(calc "($many_registered - $one_registered) * 1024 / $webhooks" %.0f)
started=$(calc "($many_started - $one_started) * 1024 / $webhooks" %.0f)

cat >"$report" <<END
## Many webhooks

$(machine "$command")

Gateways with one webhook, with $some and with $webhooks, each webhook of a session of its own; the
many were registered at $registered_rate a second over 64 connections. Memory is what is resident,
without the file pages of the store's map.

| webhooks | 1 | $some | $webhooks | bytes for each of these |
|---|---|---|---|---|
| the store's file, MiB | | | $(mib "$file_kib") | $(calc "$file_kib * 1024 / $webhooks" %.0f) |
| memory when all were registered, MiB | $(mib "$one_registered") | $(mib "$some_registered") | $(mib "$many_registered") | $registered |
| memory after a restart, MiB | $(mib "$one_started") | $(mib "$some_started") | $(mib "$many_started") | $started |
| memory after the load below, MiB | $(mib "$one_loaded") | $(mib "$some_loaded") | $(mib "$many_loaded") | |
| start to first answer, file not cached, ms | $one_ms | $some_ms | $many_ms | |

64 connections published for $seconds s, to sessions at random, to each gateway in turn; medians of
$rounds rounds. All webhooks send to the same receiver.

| webhooks | 1 | $some | $webhooks | cost, to 1 | to $some |
|---|---|---|---|---|---|
$(row 'events end to end, first publish to last receipt, per s' rate)
$(row 'events published (202 after the synced commit), per s' published)
$(row 'publish latency, median, µs' p50_us)
$(row 'publish latency, 99 %, µs' p99_us)
$(row 'processor time for an event, published and delivered, µs' cpu_us)
END

bound 'memory for a webhook just registered, in bytes,' "$registered" "$webhook_max_bytes"
bound 'memory for a webhook after a restart, in bytes,' "$started" "$webhook_max_bytes"
finish "$out"
