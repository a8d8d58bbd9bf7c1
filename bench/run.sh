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
# shellcheck disable=SC2154  # what common.sh sets
set -eu

command="bench/run.sh${*:+ $*}"
cd "$(dirname "$0")/.."
# shellcheck source=/dev/null
. bench/lib/common.sh

data=./var
out=
seconds=10
connections=64
sessions=1
body=250
in_flight=64
parts_seconds=3

while [ $# -gt 0 ]; do
	[ $# -ge 2 ] || usage_of bench/run.sh
	case $1 in
	--data) data=$2 ;;
	--out) out=$2 ;;
	--seconds) seconds=$2 ;;
	--connections) connections=$2 ;;
	--sessions) sessions=$2 ;;
	--body) body=$2 ;;
	--in-flight) in_flight=$2 ;;
	--parts-seconds) parts_seconds=$2 ;;
	*) usage_of bench/run.sh ;;
	esac
	shift 2
done
begin "$data" sink load parts

begin_program sink "$programs/sink"
sink_pid=$pid
find_port sink
sink_port=$port
serve run
waybill_pid=$pid
load_all "$sessions" --port "$port" --requests "$sessions" --sessions "$sessions" \
	--seconds 600 --in-flight "$in_flight" --register "http://127.0.0.1:$sink_port/hook"

load --port "$port" --connections "$connections" --seconds "$seconds" \
	--sessions "$sessions" --body "$body"
# An event without an answer may be delivered too: there may be more than were accepted.
await "$sink_port" / "$accepted"
stop "$waybill_pid"
stop "$sink_pid"

parts=$("$programs/parts" --data "$dir" --seconds "$parts_seconds") || fail "the parts failed"

published_us=$(field last_us "$result")
received_us=$(field last_us "$counts")
end_to_end=$(calc "$unique * 1e6 / ($received_us - $(field first_us "$result"))" %.0f)
lag_ms=$(calc "$received_us > $published_us ? ($received_us - $published_us) / 1000 : 0" %.0f)

cat >"$report" <<END
## End to end

$(machine "$command")
Publishers, waybill, the receiver and the parts all ran on this one machine over loopback.

Every figure is of one run. $connections connections published events of $body bytes to $sessions session(s) for
$seconds s, each waiting for its 202 before the next; every session had one webhook with a secret and
up to $in_flight deliveries in flight. An event counts once its delivery, signed, was at the receiver.

| waybill | |
|---|---|
| events end to end, first publish to last receipt | $end_to_end/s |
| events published (202 after the synced commit) | $(field rate "$result")/s |
| 202s, other answers, no answer | $accepted, $(field refused "$result"), $(field unanswered "$result") |
| events received, deliveries received | $unique, $(field requests "$counts") |
| last receipt after the last 202 | $lag_ms ms |
| publish latency, median | $(field p50_us "$result") µs |
| publish latency, 90 %, 99 %, 99.9 % | $(field p90_us "$result") µs, $(field p99_us "$result") µs, $(field p999_us "$result") µs |
| publish latency, longest | $(field max_us "$result") µs |

| part, in the same run | |
|---|---|
$parts
END
finish "$out"
