phase start
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[ -n "$bin" ] || fail 'PostgreSQL is not installed on this host (package postgresql)'
$bin/initdb -A trust -U postgres -E UTF8 --no-sync -D $WORK/pg || fail "initdb: $(last)"
options="-c listen_addresses='' -k $WORK -c fsync=off -c full_page_writes=off -c autovacuum=off"
options="$options -c dynamic_shared_memory_type=mmap -c max_connections=10 -c shared_buffers=64MB"
$bin/pg_ctl -w -t 300 -D $WORK/pg -l $WORK/server.log -o "$options" start 3>&- ||
  fail "the server does not start: $(tail -n 3 $WORK/server.log | tr '\n' ' ')"
ask() { $bin/psql -X -h $WORK -U postgres -At "$@" 3>&-; }
ask -d postgres -c 'CREATE DATABASE drill' || fail "$(last)"
phase load
kind=plain
if [ -f $DATA/toc.dat ]; then kind=directory file=$DATA; fi
case $(content 2>/dev/null | head -c 5 | tr -d '\0') in PGDMP) kind=custom ;; esac
rm -f $WORK/cut
case $kind in
  plain)
    # Roles live outside of a database's dump. Nothing else may go wrong.
    content | ask -q -d drill >$WORK/out 2>$WORK/errors || fail "psql: $(tail -n 3 $WORK/errors | tr '\n' ' ')"
    if grep -E '(ERROR|FATAL):' $WORK/errors |
      grep -Ev 'role ".*" does not exist|role "postgres" already exists|(ERROR|FATAL): *$' >$WORK/bad; then
      fail "$(head -n 3 $WORK/bad | tr '\n' ' ')"
    fi ;;
  *)
    content_file=$file
    if [ $kind = custom ]; then content >$WORK/dump; content_file=$WORK/dump; fi
    $bin/pg_restore -h $WORK -U postgres -d drill --no-owner --no-privileges --exit-on-error "$content_file" 3>&- ||
      fail "pg_restore: $(last)" ;;
esac
whole
phase check
tables=0 rows=0 most=-1 where=drill
for base in $(ask -d postgres -c 'SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate'); do
  names=$(ask -d "$base" -c "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables \
    WHERE schemaname NOT IN ('pg_catalog', 'information_schema')") || fail "$(last)"
  here=0
  old=$IFS
  IFS='
'
  for name in $names; do
    here=$((here + 1))
    rows=$((rows + $(ask -d "$base" -c "SELECT count(*) FROM $name"))) || fail "$name cannot be read: $(last)"
  done
  IFS=$old
  tables=$((tables + here))
  if [ $here -gt $most ]; then most=$here where=$base; fi
done
count tables $tables
count rows $rows
[ $tables -gt 0 ] || fail 'it loads, and there is no table in it'
if [ -f /drill/etc/check.sql ]; then
  answer=$(ask -d "$where" -v ON_ERROR_STOP=1 -f /drill/etc/check.sql 2>$WORK/errors | head -n 1) || true
  if [ -s $WORK/errors ]; then fail "the check query: $(head -n 1 $WORK/errors)"; fi
  judge "$answer"
fi
echo @done >&3
$bin/pg_ctl -D $WORK/pg -m immediate stop || true
