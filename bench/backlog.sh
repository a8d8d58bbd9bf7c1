#!/bin/sh
# What deliveries that wait for dead endpoints cost: memory, the start, publishing and the
# deliveries to others. Three gateways with the same webhooks, 100 of which refuse
# connections: for these nothing waits at the first, few deliveries at the second, many at
# the third. Prints Markdown, to FILE with --out; fails when an event is lost, and when
# memory with many is not below 64 MiB and 1.10 times what it is with few.
#
# usage: bench/backlog.sh [--data DIR] [--out FILE] [--few N] [--many N] [--seconds T]
#            [--rounds N]
#
# The load is published for T seconds to each gateway in turn, that N times.
# shellcheck disable=SC2154  # what common.sh sets
set -eu

command="bench/backlog.sh${*:+ $*}"
cd "$(dirname "$0")/.."
# shellcheck source=/dev/null
. bench/lib/common.sh

data=./var
out=
few=10000
many=1000000
seconds=5
rounds=5
dead=100
batch=250
memory_max_kib=65536
growth_max=1.10

while [ $# -gt 0 ]; do
	[ $# -ge 2 ] || usage_of bench/backlog.sh
	case $1 in
	--data) data=$2 ;;
	--out) out=$2 ;;
	--few) few=$2 ;;
	--many) many=$2 ;;
	--seconds) seconds=$2 ;;
	--rounds) rounds=$2 ;;
	*) usage_of bench/backlog.sh ;;
	esac
	shift 2
done
begin "$data" receivers load started

begin_program receivers "$programs/receivers"
find_port receivers
receivers_port=$port

# prepare NAME N: a gateway with N deliveries that wait, started again; sets pid and port.
prepare() {
	serve "$1"
	load_all 1 --port "$port" --requests 1 --in-flight 64 \
		--register "http://127.1.0.1:$receivers_port/healthy/$1"
	load_all "$dead" --port "$port" --requests "$dead" --sessions "$dead" --prefix dead \
		--register "http://127.2.{host}:$receivers_port/{n}"
	if [ "$2" -gt 0 ]; then
		load_all "$2" --port "$port" --requests $(($2 / batch)) --batch "$batch" \
			--connections 4 --sessions "$dead" --prefix dead --seconds 600
	fi
	fill_rate=$(field rate "$result")
	filled_kib=$(memory "$pid")
	stop "$pid"
	file_kib=$(stat -c %s "$dir/$1.store/waybill.mdb" | awk '{ print $1 / 1024 }')
	serve_again "$1" "$port"
	started_kib=$(memory "$pid")
}

# measure NAME PORT: publishes to the healthy webhook; notes what came of it.
measure() {
	before=$(field unique "$(counts_of "$receivers_port" /healthy)")
	load --port "$2" --seconds "$seconds"
	await "$receivers_port" /healthy $((before + accepted))
	first_us=$(field first_us "$result")
	rate=$(calc "$accepted * 1e6 / ($(field last_us "$counts") - $first_us)" %.0f)
	{
		echo "$1 rate $rate"
		echo "$1 published $(field rate "$result")"
		echo "$1 p50_us $(field p50_us "$result")"
		echo "$1 p99_us $(field p99_us "$result")"
	} >>"$dir/figures"
}

# figure NAME WHAT: its median over the rounds.
figure() {
	# shellcheck disable=SC2046  # a list of numbers
	median $(sed -n "s/^$1 $2 //p" "$dir/figures")
}

prepare none 0
none_pid=$pid none_port=$port none_started=$started_kib none_ms=$start_ms
prepare few "$few"
few_pid=$pid few_port=$port few_started=$started_kib few_ms=$start_ms few_filled=$filled_kib
few_file=$file_kib
prepare many "$many"
many_pid=$pid many_port=$port many_started=$started_kib many_ms=$start_ms
many_filled=$filled_kib many_file=$file_kib many_rate=$fill_rate

round=0
while [ "$round" -lt "$rounds" ]; do
	measure none "$none_port"
	measure few "$few_port"
	measure many "$many_port"
	round=$((round + 1))
done
none_loaded=$(memory "$none_pid")
few_loaded=$(memory "$few_pid")
many_loaded=$(memory "$many_pid")
for pid in "$none_pid" "$few_pid" "$many_pid"; do
	stop "$pid"
done

mib() {
	calc "$1 / 1024" %.1f
}

# row LABEL WHAT: a median of each gateway, and how many times the cost the last has of the
# first; costs are latencies, and what is behind 1 / a rate.
row() {
	none=$(figure none "$2")
	some=$(figure many "$2")
	case $2 in
	p*_us) cost=$(calc "$some / $none") ;;
	*) cost=$(calc "$none / $some") ;;
	esac
	echo "| $1 | $none | $(figure few "$2") | $some | $cost |"
}

cat >"$report" <<END
## Backlog

$(machine "$command")

$dead webhooks refuse connections, and for them 0, $few or $many deliveries wait; one webhook
works. The deliveries came in batches of $batch events, of $many at $many_rate events/s. Memory is what is
resident, without the file pages of the store's map.

| waiting deliveries | 0 | $few | $many | ratio of the last two |
|---|---|---|---|---|
| the store's file, MiB | | $(mib "$few_file") | $(mib "$many_file") | |
| memory when all had come, MiB | | $(mib "$few_filled") | $(mib "$many_filled") | $(calc "$many_filled / $few_filled") |
| memory after a restart, MiB | $(mib "$none_started") | $(mib "$few_started") | $(mib "$many_started") | $(calc "$many_started / $few_started") |
| memory after the load below, MiB | $(mib "$none_loaded") | $(mib "$few_loaded") | $(mib "$many_loaded") | $(calc "$many_loaded / $few_loaded") |
| start to first answer, file not cached, ms | $none_ms | $few_ms | $many_ms | |

64 connections published to the webhook that works for $seconds s, to each gateway in turn; medians
of $rounds rounds.

| waiting deliveries | 0 | $few | $many | cost, many : 0 |
|---|---|---|---|---|
$(row 'events end to end, first publish to last receipt, per s' rate)
$(row 'events published (202 after the synced commit), per s' published)
$(row 'publish latency, median, µs' p50_us)
$(row 'publish latency, 99 %, µs' p99_us)
END

for kib in "$many_filled" "$many_started" "$many_loaded"; do
	bound 'memory with many waiting, in KiB,' "$kib" "$memory_max_kib"
done
bound 'growth of memory while they came' "$(calc "$many_filled / $few_filled")" "$growth_max"
bound 'growth of memory after the restart' "$(calc "$many_started / $few_started")" "$growth_max"
bound 'growth of memory after the load' "$(calc "$many_loaded / $few_loaded")" "$growth_max"
finish "$out"
