# The arguments, in their order (job, attempt, level, status), or each after its name.
job= level= status=
if [ "${1#-}" = "${1:-}" ]; then
    job=${1:-} level=${3:-} status=${4:-}
else
    while [ $# -gt 1 ]; do
        case "$1" in
        -job | -jobid | -jobId) job=$2 ;;
        -level | -bkplevel) level=$2 ;;
        -status) status=$2 ;;
        esac
        shift 2
    done
fi
