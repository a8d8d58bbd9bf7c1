/*
 * Measures the parts alone, on this machine, now: what waybill's own rate is to
 * be read against. Prints rows of a Markdown table.
 */
#include <getopt.h>
#include <stdio.h>

#include "lib/net.h"
#include "lib/parts.h"

static const char USAGE[] = "usage: parts --data DIR [--seconds T]\n"
			    "  DIR should be on the disk that waybill's data is on.\n";

static const struct option OPTIONS[] = {
    {"data", required_argument, NULL, 'd'},
    {"seconds", required_argument, NULL, 's'},
    {0},
};

static void print_row(const char *part, double rate)
{
	(void)printf("| %s | %.0f/s |\n", part, rate);
	(void)fflush(stdout);
}

int main(int argc, char **argv)
{
	const char *dir = NULL;
	double seconds = 3;
	for (int c = 0; (c = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;) {
		if (c == 'd') {
			dir = optarg;
		} else if (c == 's') {
			seconds = (double)net_number("seconds", optarg, 600);
		} else {
			dir = NULL;
			break;
		}
	}
	if (dir == NULL || seconds <= 0) {
		(void)fputs(USAGE, stderr);
		return 2;
	}
	print_row("evhttp alone: POST of 250 bytes answered 202, 64 connections",
	    parts_evhttp(seconds));
	print_row("curl multi alone: POST of 400 bytes to the sink, 64 in flight",
	    parts_curl(seconds));
	print_row("LMDB alone: put event, put queue row, delete both, synced commits of 64",
	    parts_lmdb(seconds, dir));
	return 0;
}
