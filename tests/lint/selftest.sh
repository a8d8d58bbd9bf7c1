#!/bin/sh
# Checks the checks: each must pass a small clean tree and refuse, for the right reason,
# the same tree with one violation planted.
# shellcheck disable=SC2016  # backquotes in single quotes are Markdown's
set -eu
lint=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
layers='base domain shares http store fsck backup feed sched courier dispatch jobs api server cli'
libraries='bsd/sys/tree.h cjson/cJSON.h curl/curl.h event2/event.h idn2.h lmdb.h uriparser/Uri.h
	uthash.h xxhash.h yaml.h zlib.h lz4.h'

die() {
	echo "selftest: $*" >&2
	exit 1
}

# Prints its first argument as many times as its second says.
repeat() {
	awk -v text="$1" -v n="$2" 'BEGIN { while (n-- > 0) print text }'
}

# Makes the clean tree; much in it looks almost like a violation.
make_clean_tree() {
	mkdir -p "$tmp/clean/src" "$tmp/clean/tests/e2e" "$tmp/clean/bench" "$tmp/clean/etc" \
		"$tmp/clean/.ci"
	(
		cd "$tmp/clean"
		for layer in $layers; do
			mkdir "src/$layer"
			echo '#include <stdint.h>' >"src/$layer/a.h"
		done
		for layer in $layers; do
			echo "#include \"$layer/a.h\"" >>src/main.c
		done
		echo '#include "base/a.h"' | tee src/domain/a.c >src/shares/a.c
		for layer in http store sched courier; do
			echo '#include "domain/a.h"' >"src/$layer/a.c"
		done
		for layer in fsck backup feed; do
			echo '#include "store/a.h"' >"src/$layer/a.c"
		done
		for layer in store feed sched courier; do
			echo "#include \"$layer/a.h\"" >>src/dispatch/a.c
		done
		printf '%s\n' '#include "store/a.h"' '#include "dispatch/a.h"' >src/jobs/a.c
		for layer in jobs dispatch http; do
			echo "#include \"$layer/a.h\"" >>src/api/a.c
		done
		printf '%s\n' '#include "dispatch/a.h"' '#include "api/a.h"' >src/server/a.c
		printf '%s\n' '#include "server/a.h"' '#include "fsck/a.h"' >src/cli/a.c
		# shellcheck disable=SC2086  # a list of words
		printf '#include <%s>\n' $libraries >src/base/lib.c
		printf '#include <event2/%s>\n' http.h buffer.h listener.h >src/http/http.c
		echo '#include <event2/http.h>' >src/http/http_part.c
		echo '#include <event2/listener.h>' >src/http/listener.c
		for purpose in pem vault; do
			echo '#include <openssl/evp.h>' >"src/domain/$purpose.c"
		done
		printf '#include <%s>\n' openssl/ssl.h event2/bufferevent_ssl.h >src/http/tls.c
		{
			printf '%s\n' '/* signal() and sleep(1), see system(3):' ' * rand() */' \
				'static void f(void)' '{' '	x->signal(1); /* atoi() */' \
				'	on_signal(1); // gets(s)' '	g("\"popen(", '"'\"'"');' \
				'	char t[] = "/tmp/a-XXXXXX";'
			repeat '	h();' 53
			echo '}'
			repeat '' 938
		} >src/base/big.c
		repeat "$(repeat … 96 | tr -d '\n')" 200 >src/base/big.h
		mkdir src/ui
		echo 'h("p", null, text); /* never innerText, eval or src */' >src/ui/a.js
		echo '<script type="module" src="a.js"></script>' >src/ui/a.html
		make_schemes
		touch Makefile
	)
}

# Makes the files about signatures and headers: one scheme, one header beside it.
make_schemes() {
	mkdir -p docs
	echo 'enum signature { SIGNATURE_V1 = 1 };' >src/domain/sign.h
	printf '%s\n' 'static const struct sign_scheme STANDARD = {"standard", 0, "",' \
		'    {"webhook-id"}, NULL, f, g};' '' \
		'const struct sign_scheme SIGN_SCHEMES[] = {' \
		'    {"v1", SIGNATURE_V1, "over the body", {"X-Webhook-Signature"},' \
		'	&STANDARD, f, g},' '};' >>src/domain/sign.c
	echo 'static void f(void) { put(q, SLICE("Content-Type"), x); }' >src/courier/attempt.c
	printf '%s\n' 'bool header_is_reserved(const char *name)' '{' \
		'	static const char *const NAMES[] = {"content-type", "host", "webhook-id",' \
		'	    "x-webhook-signature"};' '}' >src/domain/header.c
	printf '%s\n' '| `signature` | `"v1"` | `"v1"` | The form. |' '' \
		'`headers` may not have names that waybill sets: `Content-Type Host webhook-id' \
		'X-Webhook-Signature`. `Authorization` is allowed.' \
		'' '## 9. The delivery' '' '| `X-Webhook-Signature` | hex |' '| `webhook-id` | |' \
		'| `Content-Type`, `Host`, `User-Agent`, `Accept`, `Content-Length` | |' '' \
		'### Signatures' '' '| `X-Webhook-Signature`, v1 | the body |' \
		'| `webhook-signature`: `v1,` and base64 | all |' >docs/api.md
	echo '| 1 | signature: 1 | `01` |' >docs/architecture.md
	printf '%s\n' '    Scheme:' '      type: string' '      enum: [v1]' \
		'    Signature:' "          pattern: '^(v1)\$'" >docs/openapi.yaml
	printf '%s\n' '{.name = "default_signature", KIND_TEXT,' '	"v1"},' >>src/server/settings.c
}

# passes SCRIPT: the clean tree is accepted.
passes() {
	"$lint/$1" "$tmp/clean" >"$tmp/out" 2>&1 || die "$1 refuses a clean tree: $(cat "$tmp/out")"
}

# make_tree FILE: the clean tree anew, for a violation in FILE.
make_tree() {
	rm -rf "$tmp/tree"
	cp -r "$tmp/clean" "$tmp/tree"
	mkdir -p "$tmp/tree/${1%/*}"
}

# fails SCRIPT FILE REASON: SCRIPT refuses the tree, and says so.
fails() {
	if "$lint/$1" "$tmp/tree" >"$tmp/out" 2>&1; then
		die "$1 accepts $2, which should fail with: $3"
	fi
	grep -qF -- "$3" "$tmp/out" || die "$1 on $2 should say '$3', but says: $(cat "$tmp/out")"
	echo "$2" >>"$tmp/planted"
}

# refuses SCRIPT FILE REASON: with standard input added to FILE, SCRIPT fails and says so.
refuses() {
	make_tree "$2"
	cat >>"$tmp/tree/$2"
	fails "$1" "$2" "$3"
}

# changed SCRIPT FILE SED REASON: with this done to FILE, SCRIPT fails and says so.
changed() {
	make_tree "$2"
	sed -i "$3" "$tmp/tree/$2"
	! cmp -s "$tmp/clean/$2" "$tmp/tree/$2" || die "sed $3 changes nothing in $2"
	fails "$1" "$2" "$4"
}

# includes FILE HEADER REASON: layers.sh refuses this include.
includes() {
	echo "#include $2" | refuses layers.sh "$1" "$3"
}

# calls CODE NAME: banned.sh refuses this line.
calls() {
	printf '%s\n' "$1" | refuses banned.sh src/base/new.c "src/base/new.c:1: $2()"
}

make_clean_tree

passes layers.sh
includes src/base/x.c '"domain/a.h"' 'base may not include domain'
includes src/domain/x.c '"store/a.h"' 'domain may not include store'
includes src/store/x.h '"sched/a.h"' 'store may not include sched'
includes src/store/x.c '"courier/a.h"' 'store may not include courier'
includes src/sched/x.c '"store/a.h"' 'sched may not include store'
includes src/sched/x.c '"courier/a.h"' 'sched may not include courier'
includes src/courier/x.c '"store/a.h"' 'courier may not include store'
includes src/courier/x.c '"sched/a.h"' 'courier may not include sched'
includes src/shares/x.c '"domain/a.h"' 'shares may not include domain'
includes src/http/x.c '"store/a.h"' 'http may not include store'
includes src/http/x.c '"api/a.h"' 'http may not include api'
includes src/store/x.c '"fsck/a.h"' 'store may not include fsck'
includes src/feed/x.c '"dispatch/a.h"' 'feed may not include dispatch'
includes src/jobs/x.c '"api/a.h"' 'jobs may not include api'
includes src/dispatch/x.c '"api/a.h"' 'dispatch may not include api'
includes src/dispatch/x.c '"jobs/a.h"' 'dispatch may not include jobs'
includes src/dispatch/x.c '"http/a.h"' 'dispatch may not include http'
includes src/api/x.c '"server/a.h"' 'api may not include server'
includes src/api/x.c '"fsck/a.h"' 'api may not include fsck'
includes src/server/x.c '"cli/a.h"' 'server may not include cli'
includes src/base/x.c '"a.h"' 'not LAYER/FILE.h'
includes src/base/x.c '"../domain/a.h"' 'not LAYER/FILE.h'
includes src/base/x.c HEADER 'names no header'
includes src/x.c '"base/a.h"' 'no layer that is known'
includes src/util/x.c '"base/a.h"' 'no layer that is known'
includes src/base/x.c '<lzma.h>' '<lzma.h> is not known'
includes src/base/x.c '<cmocka.h>' 'for tests'
includes src/http/x.c '<event2/buffer.h>' 'libevent (http) belongs to src/http/http.c'
includes src/domain/vault.h '<openssl/evp.h>' 'keep it in one .c'
includes src/domain/x.c '<openssl/evp.h>' 'for the files that have a purpose'
includes src/http/x.c '<event2/listener.h>' 'libevent (listeners) belongs to src/http/listener.c'
includes src/http/x.c '<event2/bufferevent_ssl.h>' 'libssl belongs to src/http/tls.c'
includes src/http/httpx.c '<event2/buffer.h>' 'libevent (http) belongs to src/http/http.c'
for header in $libraries; do
	includes src/base/x.h "<$header>" 'keep it in one .c'
	includes src/base/x.c "<$header>" 'belongs to src/base/lib.c'
done

passes sizes.sh
echo | refuses sizes.sh src/base/big.c '1001 lines, at most 1000'
echo | refuses sizes.sh src/base/big.h '201 lines, at most 200'
repeat '' 1001 | refuses sizes.sh tests/x.c '1001 lines, at most 1000'
repeat '' 1001 | refuses sizes.sh bench/x.c '1001 lines, at most 1000'
repeat x 97 | tr -d '\n' | refuses sizes.sh src/base/x.c '97 columns'
{ printf '\t' && repeat x 89 | tr -d '\n'; } | refuses sizes.sh src/base/x.c '97 columns'
for file in src/base/x.c src/base/x.h bench/x.c; do
	{
		printf '%s\n' '' 'static int f(int a,' '    int b)' '{'
		repeat '	g();' 57
		echo '}'
	} | refuses sizes.sh "$file" "$file:2: f() has 61 lines, at most 60"
done

passes banned.sh
for name in strcpy strcat sprintf strtok atoi gets rand localtime signal sleep system popen \
	assert; do
	calls "	$name(a);" "$name"
	calls "	if (x && !$name (a)) /* $name */" "$name"
done
calls "	g(\"a\\\\\"); system(a); g(\"b\");" system
calls "	g('\"'); system(a); g('\"');" system
calls "	/* a */ gets(s); /* b" gets
printf '%s\n' '	buf_printf(out, "\"%s\":%d", key, n);' |
	refuses banned.sh src/base/x.c 'JSON by hand'
for word in D:TO%sO M:FIX%sE X:XX%s; do
	# shellcheck disable=SC2059  # the word is a format, so that it is not written here
	printf "/* a ${word#*:}: later */\n" "${word%%:*}" |
		refuses banned.sh src/base/x.h 'notes of unfinished work'
done
printf '# TO%sO\n' D | refuses banned.sh tests/e2e/x.py 'notes of unfinished work'

passes ui.sh
echo 'el.innerHTML = text;' | refuses ui.sh src/ui/x.js 'makes markup out of a string'
echo 'eval(text)' | refuses ui.sh src/ui/x.js 'runs a string'
echo '<p style="color: red">' | refuses ui.sh src/ui/a.html 'the policy refuses it inline'
echo '<script>f()</script>' | refuses ui.sh src/ui/a.html 'the policy refuses it inline'
echo 'import "//example.org/a.js"' | refuses ui.sh src/ui/x.js 'loads from elsewhere'
echo 'p { background: url(https://example.org/a.png) }' |
	refuses ui.sh src/ui/a.css 'loads from elsewhere'
repeat "$(repeat x 999 | tr -d '\n')" 127 | refuses ui.sh src/ui/x.js 'at most 126976'

passes schemes.sh
row='{"v2", SIGNATURE_V2, "", {"X-Webhook-Signature"}, NULL, f, g},'
changed schemes.sh src/domain/sign.c "s/^};/$row\\n&/" 'the enum of signature differs'
changed schemes.sh src/domain/sign.c "s/^};/$row\\n&/" 'the field signature differs'
changed schemes.sh src/domain/sign.c "s/^};/$row\\n&/" 'the table of Signatures differs'
changed schemes.sh src/domain/sign.c "s/^};/$row\\n&/" "the record's signature differs"
changed schemes.sh src/domain/sign.c "s/^};/$row\\n&/" 'what default_signature may be, differs'
changed schemes.sh src/server/settings.c 's/"v1"/"v1 or v3"/' 'what default_signature may be, differs'
changed schemes.sh src/domain/sign.c 's/"v1", S/NAME, S/' 'cannot be read'
changed schemes.sh src/domain/sign.c 's/SIGN_SCHEMES/OTHERS/' 'cannot be read'
changed schemes.sh src/domain/sign.h 's/= 1/= 2/' "the record's signature differs"
changed schemes.sh docs/openapi.yaml 's/\[v1/[v1, v2/' 'the enum of signature differs'
changed schemes.sh docs/openapi.yaml 's/Scheme/Schema/' 'the enum of signature differs'
changed schemes.sh docs/openapi.yaml 's/(v1)/(v1|v2)/' 'the pattern of signature differs'
changed schemes.sh docs/api.md 's/^\(| `signature`[^v]*\)v1/\1v2/' 'the field signature differs'
changed schemes.sh docs/api.md 's/, v1 |/, v2 |/' 'the table of Signatures differs'
changed schemes.sh docs/architecture.md 's/signature: 1/signature: 3/' "record's signature differs"

passes headers.sh
changed headers.sh src/courier/attempt.c 's/}/put(q, SLICE("X-Webhook-New"), x); }/' \
	'-X-Webhook-New'
changed headers.sh src/courier/attempt.c 's/Content-Type/New/' 'a webhook may set new: '
changed headers.sh src/courier/attempt.c 's/SLICE/slice_of/' 'cannot be read'
changed headers.sh src/domain/sign.c 's/{"X-Webhook-Signature"/&, "X-Webhook-Other"/' \
	'-X-Webhook-Other'
changed headers.sh src/domain/sign.c 's/"webhook-id"/"Signature"/' 'a webhook may set signature: '
changed headers.sh src/domain/header.c 's/"x-webhook-/"x-other-/' \
	'a webhook may set x-webhook-signature: '
changed headers.sh src/domain/header.c 's/"host"/&, "te"/' \
	'names that headers may not have differs'
changed headers.sh docs/api.md 's/`webhook-id`/`X-Gone`/' 'the table of headers differs'
changed headers.sh docs/api.md 's/Type Host/Type/' 'names that headers may not have differs'

echo "selftest: $(wc -l <"$tmp/planted") planted violations refused"
