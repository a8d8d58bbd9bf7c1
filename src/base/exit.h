/* What the program's commands exit with. */
#ifndef BASE_EXIT_H
#define BASE_EXIT_H

#define EXIT_OK 0
#define EXIT_FAILED 1
#define EXIT_USAGE 2
#define EXIT_FENCED 75 /* another member owns the shard: to be started again, as a standby */

#endif
