/* Servers and keys of users; see nats_given.h. */
#include "domain/nats_given.h"

#include <stdint.h>
#include <string.h>

#include "base/base64.h"
#include "base/ed25519.h"
#include "base/mem.h"
#include "base/str.h"

#define PORT 4222

/* Five bits each. In front of a seed: what it is, and whose; of a public key: whose. */
#define PREFIX_SEED 18u /* 'S' */
#define PREFIX_USER 20u /* 'U' */

#define CRC_SIZE 2
#define SEED_BYTES (2 + NATS_SEED_SIZE + CRC_SIZE)
#define SEED_TEXT ((SEED_BYTES * 8 + 4) / 5)
#define PUBLIC_BYTES (1 + NATS_SEED_SIZE + CRC_SIZE)

static const char BASE32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"; /* RFC 4648 */

/* Whether `host` can be looked up, and put into a log line or a certificate's check. */
static bool is_host(struct slice host)
{
	for (size_t i = 0; i < host.len; i++) {
		unsigned char c = (unsigned char)host.ptr[i];
		if (c <= ' ' || c >= 0x7f || strchr("@/?#,\"'\\[]", c) != NULL)
			return false;
	}
	return host.len > 0 && host.len <= NATS_HOST_MAX;
}

enum err nats_server_parse(struct slice url, const char *field, struct nats_server *out,
    struct problem *p)
{
	bool is_tls = slice_starts(url, SLICE("tls://"));
	size_t skipped = is_tls ? 6 : slice_starts(url, SLICE("nats://")) ? 7 : 0;
	struct slice rest = {url.ptr + skipped, url.len - skipped};
	bool is_address = slice_starts(rest, SLICE("[")); /* of IPv6 */
	struct slice host = slice_cut(&rest, is_address ? ']' : ':');
	uint64_t port = PORT;
	bool is_cut = host.ptr + host.len < url.ptr + url.len; /* by a delimiter */
	bool has_port = is_address ? rest.len > 0 : is_cut;
	bool is_good = is_cut || !is_address;
	if (is_address) {
		host = (struct slice){host.ptr + 1, host.len - 1};
		is_good = is_good && slice_cut(&rest, ':').len == 0;
	}
	if (has_port && (str_u64(rest, &port) != OK || port < 1 || port > UINT16_MAX))
		is_good = false;
	if (!is_good || !is_host(host))
		return problem_set(p, ERR_INVALID, field,
		    "%s: must be nats://HOST[:PORT] or tls://HOST[:PORT], without user, "
		    "password or path",
		    field);
	*out = (struct nats_server){.port = (uint16_t)port, .is_tls = is_tls};
	memcpy(out->host, host.ptr, host.len);
	return OK;
}

bool nats_is_subject(struct slice s)
{
	bool is_good = s.len > 0 && s.len <= NATS_SUBJECT_MAX;
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];
		bool is_edge = i == 0 || i + 1 == s.len || s.ptr[i + 1] == '.';
		is_good = is_good && c > ' ' && c != 0x7f && !(c == '.' && is_edge);
	}
	return is_good;
}

bool nats_is_name(struct slice s)
{
	bool is_good = s.len > 0 && s.len <= NATS_NAME_MAX;
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];
		is_good = is_good && c > ' ' && c < 0x7f && strchr("./\\*>", c) == NULL;
	}
	return is_good;
}

/* CRC-16/XMODEM, which is written with its low byte first. */
static void put_crc(const unsigned char *bytes, size_t n, unsigned char out[CRC_SIZE])
{
	unsigned crc = 0;
	for (size_t i = 0; i < n; i++) {
		crc ^= (unsigned)bytes[i] << 8;
		for (int bit = 0; bit < 8; bit++)
			crc = (crc & 0x8000u) != 0 ? crc << 1 ^ 0x1021u : crc << 1;
		crc &= 0xffffu;
	}
	out[0] = (unsigned char)crc;
	out[1] = (unsigned char)(crc >> 8);
}

static void set_public(struct nats_key *key)
{
	unsigned char raw[PUBLIC_BYTES + 1] = {PREFIX_USER << 3}; /* a byte more is looked at */
	struct ed25519_pair pair;
	memcpy(pair.seed, key->seed, sizeof(pair.seed));
	ed25519_complete(&pair);
	memcpy(raw + 1, pair.public_key, sizeof(pair.public_key));
	mem_wipe(&pair, sizeof(pair));
	put_crc(raw, PUBLIC_BYTES - CRC_SIZE, raw + PUBLIC_BYTES - CRC_SIZE);
	for (size_t i = 0; i + 1 < NATS_PUBLIC_SIZE; i++) {
		unsigned two = (unsigned)raw[i * 5 / 8] << 8 | raw[i * 5 / 8 + 1];
		key->public_key[i] = BASE32[two >> (11 - i * 5 % 8) & 31];
	}
	key->public_key[NATS_PUBLIC_SIZE - 1] = '\0';
}

enum err nats_key_parse(struct slice seed, struct nats_key *out)
{
	unsigned char raw[SEED_BYTES + 1] = {0};
	unsigned char crc[CRC_SIZE];
	if (seed.len != SEED_TEXT)
		return ERR_SYNTAX;
	for (size_t i = 0; i < SEED_TEXT; i++) {
		const char *digit = seed.ptr[i] == '\0' ? NULL : strchr(BASE32, seed.ptr[i]);
		unsigned two = digit == NULL ? 0
					     : (unsigned)(digit - BASE32) << (11 - i * 5 % 8);
		if (digit == NULL)
			return ERR_SYNTAX;
		raw[i * 5 / 8] |= (unsigned char)(two >> 8);
		raw[i * 5 / 8 + 1] |= (unsigned char)two;
	}
	put_crc(raw, SEED_BYTES - CRC_SIZE, crc);
	bool is_user = raw[0] == (PREFIX_SEED << 3 | PREFIX_USER >> 2) &&
	    raw[1] == (unsigned char)(PREFIX_USER << 6);
	if (!is_user || memcmp(crc, raw + SEED_BYTES - CRC_SIZE, CRC_SIZE) != 0 ||
	    raw[SEED_BYTES] != 0) /* what is left of the last digit */
		return ERR_SYNTAX;
	memcpy(out->seed, raw + 2, NATS_SEED_SIZE);
	mem_wipe(raw, sizeof(raw));
	set_public(out);
	return OK;
}

enum err nats_creds_parse(struct slice text, struct slice *jwt, struct nats_key *out)
{
	struct slice found[2] = {{NULL, 0}, {NULL, 0}}; /* the first lines of the blocks */
	size_t blocks = 0;
	bool is_inside = false;
	while (text.len > 0 && blocks < 2) {
		struct slice line = slice_cut(&text, '\n');
		while (line.len > 0 && (unsigned char)line.ptr[line.len - 1] <= ' ')
			line.len--;
		line = slice_trim(line);
		if (slice_starts(line, SLICE("---"))) {
			is_inside = memmem(line.ptr, line.len, "BEGIN", 5) != NULL;
		} else if (is_inside && line.len > 0) {
			found[blocks++] = line;
			is_inside = false;
		}
	}
	if (blocks < 2 || !slice_starts(found[0], SLICE("ey"))) /* a JWT begins with {" */
		return ERR_SYNTAX;
	enum err err = nats_key_parse(found[1], out);
	if (err == OK)
		*jwt = found[0];
	return err;
}

void nats_key_sign(const struct nats_key *key, struct slice nonce,
    char out[NATS_SIGNATURE_SIZE])
{
	unsigned char raw[ED25519_SIGNATURE_SIZE];
	char text[BASE64_SIZE(sizeof(raw))];
	struct ed25519_key *k = ed25519_key_new(key->seed);
	ed25519_sign(k, nonce, raw);
	ed25519_key_free(k);
	base64_encode(raw, sizeof(raw), text);
	for (size_t i = 0; i + 1 < NATS_SIGNATURE_SIZE; i++)
		out[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
	out[NATS_SIGNATURE_SIZE - 1] = '\0';
}
