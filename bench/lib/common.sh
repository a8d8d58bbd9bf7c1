#!/bin/sh
# What the benchmarks share: starting and stopping programs, reading their figures, and the
# report. A script sources this in the root of the tree, calls begin, and finish at its end;
# in between it writes its report to $report.
# shellcheck disable=SC2034  # what is set here is read there

waybill=${WAYBILL:-build/waybill}
programs=${BENCH_PROGRAMS:-build/bench}
wait_seconds=120 # for the last deliveries
pids=
broken=0

# usage_of SCRIPT: prints the usage in its comment, and exits.
usage_of() {
	sed -n 's/^# \(usage:.*\|  *\[--.*\)/\1/p' "$1" >&2
	exit 2
}

# begin DATA PROGRAM…: checks that the programs are there and makes $dir below DATA.
begin() {
	parent=$1
	shift
	for program in "$@"; do
		[ -x "$programs/$program" ] || {
			echo "bench: $programs/$program is missing; make build/waybill bench" >&2
			exit 1
		}
	done
	[ -x "$waybill" ] || {
		echo "bench: $waybill is missing; make build/waybill bench" >&2
		exit 1
	}
	mkdir -p "$parent"
	dir=$(mktemp -d "$parent/bench.XXXXXX")
	report=$dir/report.md
	trap clean_up EXIT
	trap 'exit 1' INT TERM
	WAYBILL_TOKEN=$(od -An -N16 -v -tx1 /dev/urandom | tr -d ' \n')
	export WAYBILL_TOKEN
}

# shellcheck disable=SC2317  # called by the trap
clean_up() {
	for pid in $pids; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	rm -rf "$dir"
}

fail() {
	echo "bench: $1" >&2
	tail -n 20 "$dir"/*.err >&2 2>/dev/null || true
	exit 1
}

# bound WHAT VALUE LIMIT: notes that a promise is broken when VALUE is not below LIMIT.
bound() {
	if awk -v value="$2" -v limit="$3" 'BEGIN { exit value < limit }'; then
		echo "bench: $1 is $2, not below $3" >&2
		broken=1
	fi
}

# finish FILE: prints the report, or puts it in FILE; fails when a promise was broken.
finish() {
	if [ -n "$1" ]; then
		mv "$report" "$1"
	else
		cat "$report"
	fi
	exit "$broken"
}

# machine COMMAND: says what ran, when and on what.
machine() {
	cat <<END
\`$1\` on $(date -u +%Y-%m-%d): $(uname -s) $(uname -r | cut -d. -f1,2), $(nproc) CPUs,
libevent $(pkg-config --modversion libevent_core), libcurl $(pkg-config --modversion libcurl), LMDB $(pkg-config --modversion lmdb), data on $(stat -f -c %T "$dir").
END
}

# field NAME JSON: a number out of one flat object.
field() {
	printf '%s\n' "$2" | sed -n "s/.*\"$1\":\([0-9.]*\).*/\1/p"
}

# calc EXPRESSION [FORMAT]: arithmetic with fractions; "-" where it divides by zero.
calc() {
	awk "BEGIN { printf(\"${2:-%.2f}\", ($1)) }" 2>/dev/null || printf -- -
}

# median NUMBER…
median() {
	printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 }
		END { printf "%g", NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# begin_program NAME COMMAND…: runs it in the background; sets pid.
begin_program() {
	name=$1
	shift
	rm -f "$dir/$name.out" # of one before: its port is another
	"$@" >"$dir/$name.out" 2>"$dir/$name.err" &
	pid=$!
	pids="$pids $pid"
}

# find_port NAME: sets port, once program NAME, just begun, says where it is ready.
find_port() {
	tries=300
	while [ "$tries" -gt 0 ]; do
		port=$(sed -n 's|^[a-z]* ready on http://127\.0\.0\.1:\([0-9]*\)$|\1|p' \
			"$dir/$1.out" 2>/dev/null) || true
		[ -z "$port" ] || return 0
		kill -0 "$pid" 2>/dev/null || break
		tries=$((tries - 1))
		sleep 0.1
	done
	fail "$1 does not start"
}

# serve NAME [FLAG…]: starts waybill on the store of that name; sets pid and port.
serve() {
	store=$1
	shift
	begin_program "$store" "$waybill" serve --listen 127.0.0.1:0 --data "$dir/$store.store" \
		--allow-cidr 127.0.0.0/8 --log-level error "$@"
	find_port "$store"
}

# serve_again NAME PORT [FLAG…]: starts waybill on that port, its store's file out of the
# page cache; sets pid, and start_ms: from the program's start to its first answer.
serve_again() {
	store=$1
	port=$2
	shift 2
	dd if="$dir/$store.store/waybill.mdb" iflag=nocache count=0 status=none
	rm -f "$dir/started"
	begin_program "$store" "$programs/started" "$port" "$dir/started" "$waybill" serve \
		--listen "127.0.0.1:$port" --data "$dir/$store.store" --allow-cidr 127.0.0.0/8 \
		--log-level error "$@"
	tries=600
	while [ ! -s "$dir/started" ]; do
		kill -0 "$pid" 2>/dev/null || fail "waybill does not start again"
		[ "$tries" -gt 0 ] || fail "waybill does not answer within 60 s of its start"
		tries=$((tries - 1))
		sleep 0.1
	done
	start_ms=$(calc "$(cat "$dir/started") / 1000" %.0f)
}

# stop PID: ends a program and insists on a good end.
stop() {
	kill "$1" 2>/dev/null || fail "process $1 is gone"
	wait "$1" || fail "process $1 ended with an error"
	rest=
	for other in $pids; do
		[ "$other" = "$1" ] || rest="$rest $other"
	done
	pids=$rest
}

# memory PID: KiB that are resident, without the file pages of the store's map.
memory() {
	awk '/^[0-9a-f]+-[0-9a-f]+ / { of_map = /waybill\.mdb$/ }
		/^Rss:/ && !of_map { sum += $2 }
		END { print sum }' "/proc/$1/smaps"
}

# cpu PID: the milliseconds of processor time that it has had.
cpu() {
	awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($12 + $13) * 1000 / hz }' \
		"/proc/$1/stat"
}

# load OPTION…: runs the program; sets result, and accepted: the events (or webhooks) that
# were answered 2xx. Fails when there are none.
load() {
	result=$("$programs/load" "$@" 2>"$dir/load.err") || true
	accepted=$(field events "$result")
	[ "${accepted:-0}" -gt 0 ] || fail "nothing was accepted: $result"
}

# load_all N OPTION…: the same, where all N must be accepted.
load_all() {
	wanted=$1
	shift
	load "$@"
	[ "$accepted" -eq "$wanted" ] || fail "not all $wanted were accepted: $result"
}

# counts_of PORT [PATH]: the counts of a receiver, as JSON.
counts_of() {
	curl -sS -f "http://127.0.0.1:$1/count${2:-}"
}

# await PORT PATH N: waits until N different events were received there; sets counts and
# unique. Fails when they do not come: an event was lost.
await() {
	tries=$((wait_seconds * 10))
	while :; do
		counts=$(counts_of "$1" "$2") || fail "the receiver is gone"
		unique=$(field unique "$counts")
		[ "$unique" -lt "$3" ] || return 0
		[ "$tries" -gt 0 ] || break
		tries=$((tries - 1))
		sleep 0.1
	done
	fail "of $3 events $unique arrived within $wait_seconds s"
}
