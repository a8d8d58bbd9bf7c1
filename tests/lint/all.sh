#!/bin/sh
# Everything that is checked without running waybill; all checks run, any failure counts.
set -u
cd "$(dirname "$0")/../.." || exit 1
FORMAT_BY=14 # whose rules .clang-format is for
bad=0
started=$(date +%s)

c_files=$(find src tests bench -name '*.[ch]' | LC_ALL=C sort)
scripts=$(grep -rlIE '^#!/bin/(ba|da)?sh' .ci etc tests bench | LC_ALL=C sort)

# check NAME COMMAND…: runs the command, and is silent where it passes.
check() {
	name=$1
	shift
	if ! out=$("$@" 2>&1); then
		printf '%s\nlint: %s failed\n' "$out" "$name" >&2
		bad=1
	fi
}

# shellcheck disable=SC2086  # lists of files, none with a space
{
	# Two versions of it never want quite the same: the format is that of Debian 12's.
	if clang-format --version | grep -q "version $FORMAT_BY\\."; then
		check format clang-format --dry-run --Werror $c_files
	else
		echo "lint:    the format is not checked: it is that of clang-format $FORMAT_BY"
	fi
	check shellcheck shellcheck $scripts
}
for script in tests/lint/*.sh; do
	[ "$script" = tests/lint/all.sh ] || check "$script" "$script"
done

# cppcheck reads no system headers, but without the macros of sys/queue.h it is lost.
mkdir -p build/cppcheck
check cppcheck cppcheck -q -j2 --cppcheck-build-dir=build/cppcheck --std=c11 --language=c \
	--enable=warning,style,performance,portability --error-exitcode=1 --inline-suppr \
	--suppress=missingIncludeSystem --suppress=unusedStructMember \
	--suppress=variableScope \
	--suppress=constParameter --suppress=constParameterPointer \
	--suppress=constVariablePointer --suppress=constParameterCallback \
	--suppress=normalCheckLevelMaxBranches -D_GNU_SOURCE -DWAYBILL_VERSION='"0"' -Isrc \
	--include="/usr/include/$(gcc -print-multiarch)/sys/queue.h" src

[ "$bad" -ne 0 ] || echo "lint:    passed ($(($(date +%s) - started)) s)"
exit "$bad"
