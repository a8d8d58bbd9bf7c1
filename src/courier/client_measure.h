/* What curl knows of a request that has ended, put into its result. For client.c alone. */
#ifndef COURIER_CLIENT_MEASURE_H
#define COURIER_CLIENT_MEASURE_H

#include <sys/socket.h>

#include "courier/client.h"

#define CLIENT_ADDRESS_MAX 64 /* bytes: an IPv6 address in brackets, a port, a NUL */

/* Puts the durations into `r`. `easy`: curl's handle; `answered`: anything came back. */
void client_measure(void *easy, bool answered, struct client_result *r);

/*
 * Writes the address of the handle's connection; where there is none that of `tried`, where its
 * family is not 0; else nothing.
 */
void client_name_address(void *easy, const struct sockaddr_storage *tried,
    char out[CLIENT_ADDRESS_MAX]);

#endif
