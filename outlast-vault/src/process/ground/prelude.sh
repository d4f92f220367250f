# Runs in the sandbox, for each recipe: what it tells the vault goes to its standard output, and nothing else.
set -eu
cd /drill/space
exec 3>&1 1>/drill/space/log 2>&1
DATA=/drill/data WORK=/drill/space
phase() { printf '@phase %s\n' "$1" >&3; }
count() { printf '@count %s %s\n' "$1" "$2" >&3; }
fail() { printf '@fail %s\n' "$*" | tr '\n' ' ' >&3; printf '\n' >&3; exit 1; }
trap 'status=$?; if [ $status -ne 0 ] && [ $status -ne 1 ]; then tail -n 3 $WORK/log >&3; fi; exit $status' EXIT
last() { tail -n "${1:-3}" $WORK/log | tr '\n' ' '; }
# The one file of a stream, or nothing.
file=$(find $DATA -type f | head -n 1)
# Its content, unpacked.
content() {
  case $(head -c 4 "$file" | od -An -tx1 | tr -d ' ') in
    1f8b*) gzip -dc "$file" || : >$WORK/cut ;;
    28b52ffd) zstd -dcq "$file" || : >$WORK/cut ;;
    fd377a58) xz -dc "$file" || : >$WORK/cut ;;
    *) cat "$file" || : >$WORK/cut ;;
  esac
}
whole() { [ ! -f $WORK/cut ] || fail 'it cannot be unpacked to its end'; }
# The answer of the check query must be something.
judge() {
  case "$1" in
    '' | 0 | f | F | false | FALSE | NULL) fail "the check query answers '$1'" ;;
  esac
}
