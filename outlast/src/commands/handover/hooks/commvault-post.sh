#!/bin/sh
# Commvault: the subclient's PostBackup process, with: job attempt level status. Let it run for all attempts, also those that
# fail. It frees nothing; `outlast handover confirm` is what does.
@COMMON@
@ARGUMENTS@
# A status that is no number is none that is well.
case "$status" in
'' | *[!0-9]*) status=1 ;;
esac
end --job "$job" --policy "commvault" --type "$level" --status "$status"
exit 0
