/* Durations and addresses, as curl has them; see client_measure.h. */
#include "courier/client_measure.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

/* A moment since the start of the request, in microseconds; 0: it never came. */
static int64_t moment(CURL *easy, CURLINFO which)
{
	curl_off_t us = 0;
	return curl_easy_getinfo(easy, which, &us) == CURLE_OK ? us : 0;
}

static int64_t between(int64_t from_us, int64_t to_us)
{
	return to_us > from_us ? to_us - from_us : 0;
}

void client_measure(void *easy, bool answered, struct client_result *r)
{
	long connections = 0; /* that were made for it; else its moments are of no work */
	(void)curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &connections); /* knows it */
	if (connections > 0) {
		int64_t looked_up = moment(easy, CURLINFO_NAMELOOKUP_TIME_T);
		int64_t connected = moment(easy, CURLINFO_CONNECT_TIME_T);
		r->dns_us = looked_up;
		r->connect_us = between(looked_up, connected);
		if (connected > 0)
			r->tls_us = between(connected,
			    moment(easy, CURLINFO_APPCONNECT_TIME_T));
	}
	if (answered)
		r->first_byte_us = between(moment(easy, CURLINFO_PRETRANSFER_TIME_T),
		    moment(easy, CURLINFO_STARTTRANSFER_TIME_T));
}

/* The address that was asked for last, though no connection came of it. */
static void name_tried(const struct sockaddr_storage *tried, char out[CLIENT_ADDRESS_MAX])
{
	char host[INET6_ADDRSTRLEN] = "";
	union {
		struct sockaddr_storage any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} a = {.any = *tried};
	if (tried->ss_family == AF_INET6 &&
	    inet_ntop(AF_INET6, &a.in6.sin6_addr, host, sizeof(host)) != NULL)
		(void)snprintf(out, CLIENT_ADDRESS_MAX, "[%s]:%u", host,
		    ntohs(a.in6.sin6_port));
	else if (tried->ss_family == AF_INET &&
	    inet_ntop(AF_INET, &a.in.sin_addr, host, sizeof(host)) != NULL)
		(void)snprintf(out, CLIENT_ADDRESS_MAX, "%s:%u", host, ntohs(a.in.sin_port));
}

void client_name_address(void *easy, const struct sockaddr_storage *tried,
    char out[CLIENT_ADDRESS_MAX])
{
	const char *host = NULL;
	long port = 0;
	out[0] = '\0';
	if (curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &host) != CURLE_OK || host == NULL ||
	    host[0] == '\0' ||
	    curl_easy_getinfo(easy, CURLINFO_PRIMARY_PORT, &port) != CURLE_OK)
		name_tried(tried, out);
	else if (strchr(host, ':') != NULL)
		(void)snprintf(out, CLIENT_ADDRESS_MAX, "[%s]:%ld", host, port);
	else
		(void)snprintf(out, CLIENT_ADDRESS_MAX, "%s:%ld", host, port);
}
