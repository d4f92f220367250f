#!/bin/sh
# Bacula, Bareos: before a job, on the client:  RunScript { RunsWhen = Before … Command = "THIS %i %n %l %c" }
# %i the job's number, %n its name, %l its level, %c the client. A status other than 0 fails the job where the RunScript
# says FailJobOnError = Yes.
@COMMON@
begin --job "${1:-}" --policy "${2:-}" --schedule "${2:-}" --type "${3:-}" --client "${4:-}" || exit 1
exit 0
