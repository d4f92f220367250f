phase start
command -v mariadbd >/dev/null || fail 'MariaDB is not installed on this host (package mariadb-server)'
mariadb-install-db --no-defaults --force --datadir=$WORK/db --auth-root-authentication-method=normal --skip-test-db ||
  fail "mariadb-install-db: $(last)"
mariadbd --no-defaults --datadir=$WORK/db --socket=$WORK/s.sock --skip-networking --pid-file=$WORK/pid \
  --tmpdir=$WORK --innodb-flush-log-at-trx-commit=0 --skip-log-bin >$WORK/server.log 2>&1 3>&- &
server=$!
ask() { mariadb --no-defaults -u root -S $WORK/s.sock "$@" 3>&-; }
tries=0
until ask -e 'SELECT 1' >/dev/null 2>&1; do
  kill -0 $server 2>/dev/null || fail "the server does not start: $(tail -n 3 $WORK/server.log | tr '\n' ' ')"
  tries=$((tries + 1))
  [ $tries -lt 1500 ] || fail 'the server does not answer within five minutes'
  sleep 0.2
done
ask -e 'CREATE DATABASE drill' || fail "$(last)"
phase load
content | ask drill >$WORK/out 2>$WORK/errors ||
  fail "$( (grep ERROR $WORK/errors || cat $WORK/errors) | head -n 3 | tr '\n' ' ')"
whole
phase check
own="table_schema NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')"
ask -N -B -e "SELECT concat('\`', replace(table_schema, '\`', '\`\`'), '\`.\`', replace(table_name, '\`', '\`\`'), '\`') \
  FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND $own" >$WORK/names || fail "$(last)"
tables=0 rows=0
while read -r name; do
  tables=$((tables + 1))
  rows=$((rows + $(ask -N -B -e "SELECT count(*) FROM $name"))) || fail "$name cannot be read: $(last)"
done <$WORK/names
count tables $tables
count rows $rows
[ $tables -gt 0 ] || fail 'it loads, and there is no table in it'
if [ -f /drill/etc/check.sql ]; then
  where=$(ask -N -B -e "SELECT table_schema FROM information_schema.tables WHERE $own GROUP BY 1 \
    ORDER BY count(*) DESC LIMIT 1")
  answer=$(ask -N -B "$where" </drill/etc/check.sql 2>$WORK/errors | head -n 1) || true
  if [ -s $WORK/errors ]; then fail "the check query: $(head -n 1 $WORK/errors)"; fi
  judge "$answer"
fi
echo @done >&3
kill -9 $server || true
