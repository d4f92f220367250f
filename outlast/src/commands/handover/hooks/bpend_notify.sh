#!/bin/sh
# NetBackup: bpend_notify, on the client: /usr/openv/netbackup/bin/bpend_notify[.POLICY[.SCHEDULE]]
# NetBackup calls it with: client policy schedule type status, when the client has sent its data and the server has not
# yet completed writing to media. So status 0 frees nothing here; `outlast handover confirm` says what is stored.
@COMMON@
# The policies that back up the hand-over's directory, with spaces between them; all of this client if it is empty.
POLICIES=@POLICIES@

case " $POLICIES " in
"  " | *" ${2:-} "*) ;;
*) exit 0 ;;
esac

end --client "${1:-}" --policy "${2:-}" --schedule "${3:-}" --type "${4:-}" --status "${5:-1}"
exit 0
