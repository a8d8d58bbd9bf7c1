/*
 * Certificates in PEM: what is taken, and that everything which OpenSSL would later skip,
 * ask about or refuse is refused at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "domain/pem.h"
#include "support.h"

#define PEM TEST_CERTIFICATE("\n")
#define BEGIN "-----BEGIN CERTIFICATE-----\n"
#define END "-----END CERTIFICATE-----\n"

static const struct {
	const char *text;
	bool good;
} ROWS[] = {
    {PEM, true},
    {PEM PEM, true},
    {"Authority of tests\n" PEM "\n\nanother one:\n" PEM "the end\n", true},
    {TEST_CERTIFICATE("\r\n"), true},
    {TEST_CERTIFICATE("\n\n"), false},
    {"", false},
    {"no certificate", false},
    {BEGIN, false},
    {BEGIN END, false},
    {BEGIN "MIIB\n" END, false},
    {BEGIN "!!!!\n" END, false},
    {PEM BEGIN "MIIB\n" END, false},
    {PEM BEGIN, false},
    /* a SEQUENCE of nothing */
    {BEGIN "MAA=\n" END, false},
    /* other blocks, in front and behind */
    {"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n" PEM, false},
    {PEM "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n", false},
    /* OpenSSL would ask for a passphrase, on the terminal */
    {BEGIN "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n"
	   "MIIB\n" END,
	false},
};

static void test_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		if (pem_is_certificates(slice_of(ROWS[i].text)) != ROWS[i].good)
			fail_msg("row %zu", i);
	}
}

/* Whatever is changed within the base64 or cut off is seen, or leaves a certificate. */
static void test_cut(void **state)
{
	(void)state;
	size_t shortest = strlen(PEM) - 1; /* but for the last line's end */
	for (size_t len = 0; len <= strlen(PEM); len++) {
		if (pem_is_certificates((struct slice){PEM, len}) != (len >= shortest))
			fail_msg("%zu bytes", len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_texts),
	    cmocka_unit_test(test_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
