phase load
command -v sqlite3 >/dev/null || fail 'SQLite is not installed on this host (package sqlite3)'
content >$WORK/drill.sqlite
whole
ask() { sqlite3 -batch -bail $WORK/drill.sqlite "$@" 3>&-; }
answer=$(ask 'PRAGMA integrity_check' 2>&1 | head -n 1)
[ "$answer" = ok ] || fail "it is damaged: $answer"
phase check
ask "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'" >$WORK/names || fail "$(last)"
tables=0 rows=0
while read -r name; do
  tables=$((tables + 1))
  quoted=$(printf '%s' "$name" | sed 's/"/""/g')
  rows=$((rows + $(ask "SELECT count(*) FROM \"$quoted\""))) || fail "$name cannot be read: $(last)"
done <$WORK/names
count tables $tables
count rows $rows
[ $tables -gt 0 ] || fail 'there is no table in it'
if [ -f /drill/etc/check.sql ]; then
  answer=$(ask </drill/etc/check.sql 2>$WORK/errors | head -n 1) || true
  if [ -s $WORK/errors ]; then fail "the check query: $(head -n 1 $WORK/errors)"; fi
  judge "$answer"
fi
echo @done >&3
