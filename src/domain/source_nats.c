/* Sources that take a stream; see source_nats.h. */
#include "domain/source_nats.h"

#include <stdlib.h>

#include "base/mem.h"
#include "domain/pem.h"
#include "domain/webhook_mask.h"

#define SERVER_MAX (NATS_HOST_MAX + 16)
#define SECRET_MAX 1024
#define CREDS_MAX 8192
#define CA_MAX 16384

void source_nats_free(struct source_nats *n)
{
	if (n == NULL)
		return;
	free(n->stream);
	free(n->consumer);
	for (size_t i = 0; i < n->subject_count; i++)
		free(n->subjects[i]);
	mem_forget(n->token);
	free(n->user);
	mem_forget(n->password);
	mem_forget(n->jwt);
	free(n->ca_pem);
	mem_wipe(&n->key, sizeof(n->key));
	free(n);
}

static void read_servers(struct members *m, struct source_nats *n)
{
	char *texts[SOURCE_SERVERS_MAX] = {0};
	size_t count = 0;
	members_texts(m, "servers", SOURCE_SERVERS_MAX, SERVER_MAX, texts, &count);
	if (count == 0)
		members_refuse(m, "servers",
		    "an array of 1 to 8 URLs such as nats://host:4222");
	for (size_t i = 0; i < count; i++) {
		if (m->err == OK)
			m->err = nats_server_parse(slice_of(texts[i]), "servers",
			    &n->servers[n->server_count++], m->p);
		free(texts[i]);
	}
}

static char *read_name(struct members *m, const char *name)
{
	char *text = members_text(m, name, NATS_NAME_MAX);
	if (text != NULL && !nats_is_name(slice_of(text)))
		members_refuse(m, name, "a name at the server: no dot, space, * or >");
	return text;
}

static void read_subjects(struct members *m, struct source_nats *n)
{
	members_texts(m, "subjects", SOURCE_SUBJECTS_MAX, NATS_SUBJECT_MAX, n->subjects,
	    &n->subject_count);
	for (size_t i = 0; i < n->subject_count; i++) {
		if (!nats_is_subject(slice_of(n->subjects[i])))
			members_refuse(m, "subjects",
			    "an array of subjects such as wa.events.>");
	}
}

static char *read_secret(struct members *m, const char *name, size_t max)
{
	char *text = members_text(m, name, max);
	if (text != NULL && strcmp(text, WEBHOOK_MASK) == 0)
		members_refuse(m, name, "the secret itself, not the mask that answers show");
	return text;
}

static void read_login(struct members *m, struct source_nats *n)
{
	char *seed = read_secret(m, "seed", 128);
	char *creds = read_secret(m, "creds", CREDS_MAX);
	struct slice jwt = {0};
	n->token = read_secret(m, "token", SECRET_MAX);
	n->user = members_text(m, "user", SECRET_MAX);
	n->password = read_secret(m, "password", SECRET_MAX);
	if (creds != NULL && seed != NULL)
		members_refuse(m, "seed", "left out where there are creds, which have one");
	else if (creds != NULL && nats_creds_parse(slice_of(creds), &jwt, &n->key) != OK)
		members_refuse(m, "creds", "the text of a creds file: a user's JWT and seed");
	else if (seed != NULL && nats_key_parse(slice_of(seed), &n->key) != OK)
		members_refuse(m, "seed", "the seed of a user: SU and 56 characters more");
	n->has_key = seed != NULL || creds != NULL;
	if (jwt.len > 0)
		n->jwt = mem_copy(jwt.ptr, jwt.len);
	mem_forget(seed);
	mem_forget(creds);
}

struct source_nats *source_nats_new(struct members *m)
{
	struct source_nats *n = mem_new(sizeof(*n));
	read_servers(m, n);
	n->stream = read_name(m, "stream");
	if (n->stream == NULL)
		members_refuse(m, "stream", "given: the name of a JetStream stream");
	n->consumer = read_name(m, "consumer");
	read_subjects(m, n);
	n->begin_at_end = members_choice(m, "begin", "start end") == 1;
	read_login(m, n);
	n->ca_pem = members_text(m, "ca_pem", CA_MAX);
	if (n->ca_pem != NULL && !pem_is_certificates(slice_of(n->ca_pem)))
		members_refuse(m, "ca_pem", "certificates in PEM");
	if (m->err == OK)
		return n;
	source_nats_free(n);
	return NULL;
}

/* How often `word` is among the words of `text`. */
static size_t count_words(struct slice text, struct slice word)
{
	size_t count = 0;
	while (text.len > 0)
		count += slice_eq(slice_cut(&text, '.'), word) ? 1 : 0;
	return count;
}

bool subject_is_template(struct slice text)
{
	bool ends_well = text.len > 0 && text.ptr[text.len - 1] != '.';
	if (!ends_well || text.len > NATS_SUBJECT_MAX || count_words(text, SLICE("{}")) != 1 ||
	    count_words(text, SLICE(">")) > 1)
		return false;
	while (text.len > 0) {
		struct slice word = slice_cut(&text, '.');
		bool is_sign = slice_eq(word, SLICE("{}")) || slice_eq(word, SLICE(">")) ||
		    slice_eq(word, SLICE("*"));
		if (!is_sign && !nats_is_name(word))
			return false;
	}
	return true;
}

/* Whether a word of the template that stands for one fits. */
static bool is_meant(struct slice sign, struct slice word)
{
	return word.len > 0 &&
	    (slice_eq(sign, SLICE("*")) || slice_eq(sign, SLICE("{}")) || slice_eq(sign, word));
}

/* How many words there are. */
static size_t words_of(struct slice text)
{
	size_t count = 0;
	for (; text.len > 0; count++)
		(void)slice_cut(&text, '.');
	return count;
}

/* Takes `n` words off the front of `text`, with the dots between them. */
static struct slice take_words(struct slice *text, size_t n)
{
	const char *start = text->ptr;
	const char *end = start;
	for (size_t i = 0; i < n; i++) {
		struct slice word = slice_cut(text, '.');
		end = word.ptr + word.len;
	}
	return (struct slice){start, (size_t)(end - start)};
}

struct slice subject_take(struct slice template, struct slice subject)
{
	struct slice taken = {0};
	size_t signs = words_of(template);
	size_t words = words_of(subject);
	bool has_rest = count_words(template, SLICE(">")) > 0;
	if (words < signs)
		return taken;
	while (template.len > 0) {
		struct slice sign = slice_cut(&template, '.');
		bool is_value = slice_eq(sign, SLICE("{}"));
		bool is_long = slice_eq(sign, SLICE(">")) || (is_value && !has_rest);
		struct slice word = take_words(&subject, is_long ? words - signs + 1 : 1);
		if (!is_long && !is_meant(sign, word))
			return (struct slice){0};
		if (is_value)
			taken = word;
	}
	if (subject.len > 0) /* longer than the template */
		taken = (struct slice){0};
	return taken;
}
