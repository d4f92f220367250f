#!/bin/sh
# Any product: before a job, with: JOB [SCHEDULE [TYPE]]. It exits with 0, and with 1 if the job must not begin (STRICT).
# JOB is what tells one run from the next, and the same at the end.
@COMMON@
begin --job "${1:-}" --schedule "${2:-}" --type "${3:-}" || exit 1
exit 0
