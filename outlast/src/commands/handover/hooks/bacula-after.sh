#!/bin/sh
# Bacula, Bareos: after a job, on the client:  RunScript { RunsWhen = After … Command = "THIS %i %n %l %c %e" }
# %e is OK, Error, Fatal Error, Canceled, Differences or Unknown term code: what the client thinks before the
# storage daemon has committed. It frees nothing; `outlast handover confirm` asks the director's catalogue.
@COMMON@
job=${1:-} name=${2:-} level=${3:-} client=${4:-}
if [ $# -ge 4 ]; then shift 4; else shift $#; fi
# The product may hand over two words where it means one.
case "$*" in
OK) status=0 ;;
Differences) status=1 ;;
Canceled) status=150 ;;
*) status=2 ;;
esac
end --job "$job" --policy "$name" --schedule "$name" --type "$level" --client "$client" --status "$status"
exit 0
