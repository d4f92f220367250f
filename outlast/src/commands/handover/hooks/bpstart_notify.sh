#!/bin/sh
# NetBackup: bpstart_notify, on the client, beside bpbkar: /usr/openv/netbackup/bin/bpstart_notify[.POLICY[.SCHEDULE]]
# NetBackup calls it with: client policy schedule type (FULL, INCR, CINC, UBAK, UARC), waits for it at most
# BPSTART_TIMEOUT (300 s), and begins the job only if it exits with 0; else the job ends with status 73.
# It copies nothing: drops were staged and verified before.
@COMMON@
# The policies that back up the hand-over's directory, with spaces between them; all of this client if it is empty.
POLICIES=@POLICIES@

case " $POLICIES " in
"  " | *" ${2:-} "*) ;;
*) exit 0 ;;
esac

begin --client "${1:-}" --policy "${2:-}" --schedule "${3:-}" --type "${4:-}" || exit 1
exit 0
