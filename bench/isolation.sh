#!/bin/sh
# What endpoints that do not work cost the others: of 1000 webhooks, each of a session and
# at a host of its own, 100 never answer, 100 answer after 4 s, 50 refuse connections. At a
# steady load, how long does it take from publishing an event until it is at a healthy
# receiver, and how long when all are healthy? Both are measured at the same 750 webhooks.
# Prints Markdown, to FILE with --out; fails when an event for a healthy webhook is lost.
#
# usage: bench/isolation.sh [--data DIR] [--out FILE] [--seconds T] [--rounds N] [--rate R]
#
# R events a second are published for T seconds, and 5 before that are not measured; that
# N times all healthy and N times not, in turn, each with a new store.
# shellcheck disable=SC2154  # what common.sh sets
set -eu

command="bench/isolation.sh${*:+ $*}"
cd "$(dirname "$0")/.."
# shellcheck source=/dev/null
. bench/lib/common.sh

data=./var
out=
seconds=30
rounds=3
rate=1000
warm_up=5
webhooks=1000
healthy=750

while [ $# -gt 0 ]; do
	[ $# -ge 2 ] || usage_of "$0"
	case $1 in
	--data) data=$2 ;;
	--out) out=$2 ;;
	--seconds) seconds=$2 ;;
	--rounds) rounds=$2 ;;
	--rate) rate=$2 ;;
	*) usage_of bench/isolation.sh ;;
	esac
	shift 2
done
begin "$data" receivers load

# register FIRST STEP NETWORK PATH: webhooks of every STEP-th session.
register() {
	load_all $((webhooks / $2)) --port "$waybill_port" --first "$1" --step "$2" \
		--sessions $((webhooks / $2)) --requests $((webhooks / $2)) \
		--register "http://127.$3.{host}:$receivers_port/$4/{n}"
}

# Of 20 sessions: 0 and 10 silent, 1 and 11 slow, 2 refused, the other 15 healthy.
register_all() {
	register 0 10 1 "$1"
	register 1 10 1 "$2"
	register 2 20 "$3" other
	for first in 3 4 5 6 7 8 9; do
		register "$first" 10 1 healthy
	done
	register 12 20 1 healthy
}

# run NAME SILENT SLOW NETWORK: one measurement; sets p50, p99, p999 and most, in us.
run() {
	name=$1
	shift
	begin_program receivers "$programs/receivers" --hosts "$webhooks" --delay-ms 4000
	receivers_pid=$pid
	find_port receivers
	receivers_port=$port
	serve "$name"
	waybill_pid=$pid
	waybill_port=$port
	register_all "$@"
	before=$(cpu "$waybill_pid")
	load --port "$waybill_port" --sessions "$webhooks" --rate "$rate" \
		--seconds $((warm_up + seconds)) --warm-up "$warm_up"
	lost=$(($(field refused "$result") + $(field unanswered "$result")))
	[ "$lost" -eq 0 ] || fail "not every event was accepted: $result"
	turns=$((accepted / webhooks)) # whole ones over the sessions
	await "$receivers_port" /healthy $((turns * healthy))
	cpu_us=$(calc "($(cpu "$waybill_pid") - $before) * 1000 / $accepted" %.0f)
	memory_kib=$(memory "$waybill_pid")
	p50=$(field p50_us "$counts")
	p99=$(field p99_us "$counts")
	p999=$(field p999_us "$counts")
	most=$(field max_us "$counts")
	stop "$waybill_pid"
	stop "$receivers_pid"
	rm -rf "$dir/$name.store"
	printf '| %s | %s | %s | %s | %s | %s | %s | %s |\n' "$round" "$label" "$p50" "$p99" \
		"$p999" "$most" "$cpu_us" "$((memory_kib / 1024))" >>"$dir/rows"
}

good=
bad=
good_p50=
bad_p50=
round=1
while [ "$round" -le "$rounds" ]; do
	label='all healthy'
	run healthy other other 1
	good="$good $p99"
	good_p50="$good_p50 $p50"
	label='250 not'
	run mixed silent slow 2
	bad="$bad $p99"
	bad_p50="$bad_p50 $p50"
	round=$((round + 1))
done

# shellcheck disable=SC2086  # lists of numbers
{
	good=$(median $good)
	bad=$(median $bad)
	good_p50=$(median $good_p50)
	bad_p50=$(median $bad_p50)
}
cat >"$report" <<END
## Isolation

$(machine "$command")

$webhooks webhooks, each of a session and at a host of its own, $rate events a second in all, in turn,
for $seconds s. Of the webhooks 100 never answer, 100 answer after 4 s and 50 refuse connections, or all
are healthy. Time from when an event was to be published until it was at its receiver, of
the 750 webhooks that are healthy in both.

| run | webhooks | p50, µs | p99, µs | p99.9, µs | longest, µs | CPU an event, µs | memory, MiB |
|---|---|---|---|---|---|---|---|
$(cat "$dir/rows")

| median of the runs | all healthy | 250 not | ratio |
|---|---|---|---|
| p50, µs | $good_p50 | $bad_p50 | $(calc "$bad_p50 / $good_p50") |
| p99, µs | $good | $bad | $(calc "$bad / $good") |
END
finish "$out"
