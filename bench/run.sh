#!/bin/sh
# Measures waybill end to end on loopback: publishers, the gateway with its store on a real
# disk, one webhook a session, a receiver that counts; then the parts alone, in the same
# run, to read the figures against. Prints Markdown, to FILE with --out.
#
# usage: bench/run.sh [--data DIR] [--out FILE] [--seconds T] [--connections N]
#            [--sessions K] [--body BYTES] [--in-flight N] [--parts-seconds T]
#
# It needs `make build/waybill bench` first. DIR (./var) should be on the disk that counts,
# not on a tmpfs; a directory of its own is made there and removed again.
set -eu

args=$*
cd "$(dirname "$0")/.."

data=./var
out=
seconds=10
connections=64
sessions=1
body=250
in_flight=64
parts_seconds=3
wait_seconds=120 # for the last deliveries

usage() {
	sed -n 's/^# \(usage:.*\|  *\[--.*\)/\1/p' "$0" >&2
	exit 2
}

while [ $# -gt 0 ]; do
	[ $# -ge 2 ] || usage
	case $1 in
	--data) data=$2 ;;
	--out) out=$2 ;;
	--seconds) seconds=$2 ;;
	--connections) connections=$2 ;;
	--sessions) sessions=$2 ;;
	--body) body=$2 ;;
	--in-flight) in_flight=$2 ;;
	--parts-seconds) parts_seconds=$2 ;;
	*) usage ;;
	esac
	shift 2
done

waybill=${WAYBILL:-build/waybill}
programs=${BENCH_PROGRAMS:-build/bench}
for program in "$waybill" "$programs/sink" "$programs/load" "$programs/parts"; do
	[ -x "$program" ] || {
		echo "bench: $program is missing; make build/waybill bench" >&2
		exit 1
	}
done

mkdir -p "$data"
dir=$(mktemp -d "$data/bench.XXXXXX")
sink_pid=
waybill_pid=
# shellcheck disable=SC2317  # called by the trap
clean_up() {
	for pid in $waybill_pid $sink_pid; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

fail() {
	echo "bench: $1" >&2
	cat "$dir"/*.err >&2 2>/dev/null || true
	exit 1
}

# port_of NAME PID: the port that program NAME says it is ready on, once it does.
port_of() {
	tries=100
	while [ "$tries" -gt 0 ]; do
		port=$(sed -n "s|^$1 ready on http://127\.0\.0\.1:\([0-9]*\)$|\1|p" "$dir/$1.out")
		if [ -n "$port" ]; then
			echo "$port"
			return
		fi
		kill -0 "$2" 2>/dev/null || break
		tries=$((tries - 1))
		sleep 0.1
	done
	return 1
}

# field NAME JSON: a number out of one flat object.
field() {
	printf '%s\n' "$2" | sed -n "s/.*\"$1\":\([0-9.]*\).*/\1/p"
}

WAYBILL_TOKEN=$(od -An -N16 -v -tx1 /dev/urandom | tr -d ' \n')
export WAYBILL_TOKEN

"$programs/sink" >"$dir/sink.out" 2>"$dir/sink.err" &
sink_pid=$!
sink_port=$(port_of sink "$sink_pid") || fail "the sink does not start"

"$waybill" serve --listen 127.0.0.1:0 --data "$dir/store" --allow-cidr 127.0.0.0/8 \
	--log-level warn >"$dir/waybill.out" 2>"$dir/waybill.err" &
waybill_pid=$!
port=$(port_of waybill "$waybill_pid") || fail "waybill does not start"

session=0
while [ "$session" -lt "$sessions" ]; do
	curl -sS -f -o "$dir/answer" -H "Authorization: Bearer $WAYBILL_TOKEN" \
		-H 'Content-Type: application/json' \
		-d "{\"url\":\"http://127.0.0.1:$sink_port/hook\",\"secret\":\"bench\",\"max_in_flight\":$in_flight}" \
		"http://127.0.0.1:$port/api/v1/sessions/bench$session/webhooks" ||
		fail "a webhook could not be registered"
	session=$((session + 1))
done

"$programs/load" --port "$port" --connections "$connections" --seconds "$seconds" \
	--sessions "$sessions" --body "$body" >"$dir/load.out" 2>"$dir/load.err" || true
load=$(cat "$dir/load.out")
accepted=$(field accepted "$load")
[ "${accepted:-0}" -gt 0 ] || fail "no event was accepted: $load"

# An event without an answer may be delivered too: hence "at least".
tries=$((wait_seconds * 5))
while :; do
	counts=$(curl -sS -f "http://127.0.0.1:$sink_port/count") || fail "the sink is gone"
	unique=$(field unique "$counts")
	if [ "$unique" -ge "$accepted" ] || [ "$tries" -eq 0 ]; then
		break
	fi
	tries=$((tries - 1))
	sleep 0.2
done
[ "$unique" -ge "$accepted" ] ||
	fail "of $accepted accepted events $unique arrived within $wait_seconds s"

kill "$waybill_pid"
wait "$waybill_pid" || fail "waybill ended with an error"
waybill_pid=
kill "$sink_pid"
wait "$sink_pid" || true
sink_pid=

parts=$("$programs/parts" --data "$dir" --seconds "$parts_seconds") || fail "the parts failed"

end_to_end=$(awk -v n="$unique" -v first="$(field first_us "$load")" \
	-v last="$(field last_us "$counts")" 'BEGIN { printf "%.0f", n * 1e6 / (last - first) }')
lag_ms=$(awk -v published="$(field last_us "$load")" -v received="$(field last_us "$counts")" \
	'BEGIN { if (received > published) ms = (received - published) / 1000; printf "%.0f", ms }')

report() {
	cat <<END
# Benchmarks

\`bench/run.sh${args:+ $args}\` on $(date -u +%Y-%m-%d): $(uname -s) $(uname -r | cut -d. -f1,2), $(nproc) CPUs,
libevent $(pkg-config --modversion libevent_core), libcurl $(pkg-config --modversion libcurl), LMDB $(pkg-config --modversion lmdb), data on $(stat -f -c %T "$data").
Publishers, waybill, the receiver and the parts all ran on this one machine over loopback.

Every figure is of one run. $connections connections published events of $body bytes to $sessions session(s) for
$seconds s, each waiting for its 202 before the next; every session had one webhook with a secret and
up to $in_flight deliveries in flight. An event counts once its delivery, signed, was at the receiver.

| waybill | |
|---|---|
| events end to end, first publish to last receipt | $end_to_end/s |
| events published (202 after the synced commit) | $(field rate "$load")/s |
| 202s, other answers, no answer | $(field accepted "$load"), $(field refused "$load"), $(field unanswered "$load") |
| events received, deliveries received | $unique, $(field requests "$counts") |
| last receipt after the last 202 | $lag_ms ms |
| publish latency, median | $(field p50_us "$load") µs |
| publish latency, 90 %, 99 %, 99.9 % | $(field p90_us "$load") µs, $(field p99_us "$load") µs, $(field p999_us "$load") µs |
| publish latency, longest | $(field max_us "$load") µs |

| part, in the same run | |
|---|---|
$parts
END
}

if [ -n "$out" ]; then
	report >"$dir/report.md"
	mv "$dir/report.md" "$out"
	echo "bench: $end_to_end events/s end to end; the report is in $out"
else
	report
fi
