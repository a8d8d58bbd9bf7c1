/* The bytes of a backup's stream that its writer and its reader must agree on; see backup.h. */
#ifndef BACKUP_BACKUP_FORM_H
#define BACKUP_BACKUP_FORM_H

#include "base/codec.h"

#define BACKUP_MAGIC SLICE("waybill backup\n")
#define BACKUP_VERSION 1

/* What a frame begins with. */
#define BACKUP_TABLE 'T'
#define BACKUP_ROW 'R'
#define BACKUP_END 'E'

#endif
