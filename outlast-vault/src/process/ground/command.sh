phase check
cd $DATA
"$@" 3>&- || fail "the command ended with $?: $(last)"
echo @done >&3
