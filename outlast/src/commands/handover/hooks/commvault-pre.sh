#!/bin/sh
# Commvault: the subclient's PreBackup process, with: job attempt level status. A status other than 0 leaves the job pending.
# It is not run at all if the scan finds no change, and new clients refuse scripts outside of their install folder: put it
# there (sAdminWhiteListPaths).
@COMMON@
@ARGUMENTS@
begin --job "$job" --policy "commvault" --type "$level" || exit 1
exit 0
