#!/bin/sh
# A release that waits for blue's last backup: deploy green, drop blue, gate, end blue.
#
# Runs where the share is mounted (a runner of your own), and needs nothing else of Outlast than the program and the
# authority's certificate. Blue is left alone if anything before its end fails: run it again.
#
#     BLUE          the release that ends, as its drops name it (outlast drop --release)
#     WORKLOAD      the workload
#     SHARE         where the share is mounted; /mnt/share if nothing is said
#     CA            the authority whose receipts count: a file or a fingerprint
#     UNTIL         accepted (default): every hash verified; vaulted: the vault holds it
#     TIMEOUT       how long to wait for that; 30m if nothing is said
#     DEPLOY_GREEN  the command that deploys green and moves traffic
#     DROP_BLUE     the command that lets blue make its final drop
#     END_BLUE      the command that ends blue
set -eu

: "${BLUE:?}" "${WORKLOAD:?}" "${DEPLOY_GREEN:?}" "${DROP_BLUE:?}" "${END_BLUE:?}"
UNTIL=${UNTIL:-accepted}
[ "$UNTIL" = sealed ] || : "${CA:?the authority whose receipts count, which comes with the pipeline}"

say() { printf '%s: %s\n' "release of $WORKLOAD" "$*" >&2; }

say "deploying green"
sh -c "$DEPLOY_GREEN"

say "the final drop of $BLUE"
sh -c "$DROP_BLUE"

say "waiting until that is $UNTIL"
status=0
outlast gate --share "${SHARE:-/mnt/share}" --workload "$WORKLOAD" --release "$BLUE" \
    --until "$UNTIL" --timeout "${TIMEOUT:-30m}" ${CA:+--ca "$CA"} || status=$?
case $status in
    0) ;;
    3) say "$BLUE is left alone: its drop is not $UNTIL yet; run this again when it is"; exit 3 ;;
    *) say "$BLUE is left alone: its drop will never be $UNTIL; make a new one"; exit "$status" ;;
esac

say "ending $BLUE"
sh -c "$END_BLUE"
