#!/bin/sh
# Holds the includes of src to the architecture: a layer includes only what is below it,
# and the headers of a library are known to one module (NAME.c, perhaps in parts NAME_….c; one
# for each purpose) and to no header of ours.
# usage: layers.sh [ROOT]
set -eu
cd "${1:-$(dirname "$0")/../..}"

find src -name '*.[ch]' | LC_ALL=C sort |
	xargs grep -nE '^[[:space:]]*#[[:space:]]*include' /dev/null | awk '
BEGIN {
	may["base"] = "base"
	may["domain"] = "base domain"
	may["shares"] = "base shares"
	may["http"] = "base domain shares http"
	may["store"] = "base domain shares store"
	may["fsck"] = "base domain shares store fsck"
	may["backup"] = "base domain shares store fsck backup"
	may["feed"] = "base domain shares store feed"
	may["sched"] = "base domain shares sched"
	may["courier"] = "base domain shares courier"
	may["nats"] = "base domain shares courier nats"
	may["jetstream"] = may["nats"] " store jetstream"
	may["cluster"] = may["jetstream"] " backup fsck cluster"
	may["dispatch"] = "base domain shares store feed sched courier dispatch"
	may["jobs"] = may["dispatch"] " jobs"
	may["api"] = may["jobs"] " http backup nats jetstream cluster api"
	may["server"] = may["api"] " server"
	may["cli"] = may["server"] " fsck cli"
	may["main.c"] = may["cli"]

	n = split("arpa/inet.h ctype.h dirent.h endian.h errno.h fcntl.h float.h getopt.h " \
	    "grp.h inttypes.h limits.h malloc.h math.h netdb.h netinet/in.h netinet/tcp.h poll.h " \
	    "pwd.h regex.h signal.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h " \
	    "stdnoreturn.h string.h strings.h sys/file.h sys/ioctl.h sys/mman.h sys/prctl.h sys/queue.h " \
	    "sys/random.h sys/resource.h sys/socket.h sys/stat.h sys/statvfs.h sys/time.h " \
	    "sys/types.h sys/uio.h sys/un.h sys/wait.h syslog.h time.h unistd.h", list, " ")
	for (i = 1; i <= n; i++)
		is_system[list[i]] = 1

	# OpenSSL is several libraries in one: each purpose has its own .c.
	purpose["src/base/handshake.c"] = "openssl: the certificates of peers"
	purpose["src/http/tls.c"] = "openssl: the errors of libssl"
	purpose["src/base/digest.c"] = "openssl: SHA-256"
	purpose["src/courier/wire.c"] = "openssl: the errors of libssl, at connections out"
	purpose["src/courier/anchors.c"] = "openssl: trust anchors"
	purpose["src/domain/pem.c"] = "openssl: certificates"
	purpose["src/base/base64.c"] = "openssl: base64"
	purpose["src/base/ed25519.c"] = "openssl: Ed25519"
	purpose["src/base/mac.c"] = "openssl: HMAC"
	purpose["src/domain/assertion.c"] = "openssl: JSON Web Tokens"
	purpose["src/domain/private_key.c"] = "openssl: private keys"
	purpose["src/domain/vault.c"] = "openssl: AES-GCM"
}

function refuse(why) {
	print "layers: " at ": " why
	bad = 1
}

# The library that a header belongs to; libevent counts as several: its loop, its listening
# sockets, and its HTTP with the buffers.
function library(header) {
	if (header ~ /^event2\/(event|event_struct|event_compat|thread)\.h$/)
		return "libevent (loop)"
	# http.c has it too, for the flags of events, which no other header but event.h has
	if (header == "event2/listener.h" && file != "src/http/http.c")
		return "libevent (listeners)"
	# libssl is a library apart from libcrypto; the buffers over it are there for it alone. Its
	# contexts are bounded in one place, be they of listeners or of libcurl.
	if (header == "openssl/ssl.h" && file == "src/base/handshake.c")
		return "libssl (bounds)"
	# as a server, and as a client
	if (header == "openssl/ssl.h" && file == "src/courier/wire.c")
		return "libssl (connections out)"
	# what libcurl leaves to us of its contexts
	if (header == "openssl/ssl.h" && (file == "src/courier/anchors.c" || file == "src/courier/sessions.c"))
		return "libssl (" file ")"
	if (header ~ /^(openssl\/ssl|event2\/bufferevent_ssl)\.h$/)
		return "libssl"
	if (header ~ /^event2\//)
		return "libevent (http)"
	if (header ~ /^ut(hash|list|array|stack|string|ringbuffer)\.h$/)
		return "uthash"
	if (header == "ares.h" || header == "lmdb.h" || header == "xxhash.h" || header == "zlib.h" || header == "lz4.h" ||
	    header == "idn2.h" || header == "yaml.h" ||
	    header == "cmocka.h")
		return substr(header, 1, length(header) - 2)
	if (header ~ /^openssl\// && file in purpose)
		return purpose[file]
	if (header ~ /^(bsd|cjson|curl|openssl|systemd|uriparser)\//)
		return substr(header, 1, index(header, "/") - 1)
	return ""
}

function check_ours(header,    dir) {
	dir = header
	if (!sub(/\/[^\/]*$/, "", dir) || !(dir in may))
		refuse("\"" header "\" is not LAYER/FILE.h of a layer that is known")
	else if (index(" " may[layer] " ", " " dir " ") == 0)
		refuse(layer " may not include " dir " (" header ")")
}

function check_other(header,    lib) {
	if (header in is_system)
		return
	lib = library(header)
	if (lib == "") {
		refuse("<" header "> is not known: name it in tests/lint/layers.sh")
	} else if (lib == "cmocka") {
		refuse("<" header "> is for tests")
	} else if (file ~ /\.h$/) {
		refuse("<" header "> in a header spreads " lib "; keep it in one .c")
	} else if (lib == "openssl") {
		refuse("<" header "> is for the files that have a purpose in tests/lint/layers.sh")
	} else if (lib in owner && !same_module(owner[lib], file)) {
		refuse(lib " belongs to " owner[lib] ", the one .c that includes it")
	} else if (!(lib in owner)) {
		owner[lib] = file
	}
}

# Whether both are of one module: http.c and http_stream.c, which grep lists in this order.
function same_module(first, other) {
	sub(/\.c$/, "", first)
	return other == first ".c" || index(other, first "_") == 1
}

{
	match($0, /^[^:]*:[0-9]+/) # FILE:LINE, of grep
	at = substr($0, 1, RLENGTH)
	file = at
	sub(/:.*/, "", file)
	layer = file
	sub(/^src\//, "", layer)
	sub(/\/.*/, "", layer)
	if (!(layer in may))
		refuse("lies in no layer that is known")
	else if (match($0, /include[ \t]*"[^"]*"/))
		check_ours(unwrap())
	else if (match($0, /include[ \t]*<[^>]*>/))
		check_other(unwrap())
	else
		refuse("this include names no header")
}

# The text between the quotes or brackets of what match() found.
function unwrap(    text) {
	text = substr($0, RSTART, RLENGTH - 1)
	sub(/^include[ \t]*["<]/, "", text)
	return text
}

END {
	if (NR == 0) {
		print "layers: src has no includes at all"
		bad = 1
	}
	exit bad
}'
