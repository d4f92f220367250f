# Made by `outlast handover hooks`; what follows is for you to change.

# The program, and which hand-over it is about.
OUTLAST=@OUTLAST@
outlast_handover() {
    # The product waits for this: it takes milliseconds, or is ended.
    if command -v timeout >/dev/null 2>&1; then
        timeout -k 5 @SECONDS@ "$OUTLAST" handover "$@" @WHICH@
    else
        "$OUTLAST" handover "$@" @WHICH@
    fi
}

# Whether a job that cannot be noted, or would read nothing, must not begin.
STRICT=@STRICT@

say() {
    printf '%s\n' "$1" >&2
    if command -v logger >/dev/null 2>&1; then
        logger -t outlast-handover -- "$1" 2>/dev/null || :
    fi
}

begin() {
    if [ "$STRICT" = yes ]; then
        words=$(outlast_handover begin "$@" --strict 2>&1)
    else
        words=$(outlast_handover begin "$@" 2>&1)
    fi
    status=$?
    say "begin: $words (exit $status)"
    if [ "$status" -ne 0 ] && [ "$STRICT" = yes ]; then
        return 1
    fi
    # Without a lease, a job reads all the same: the directory only grows.
    return 0
}

end() {
    words=$(outlast_handover end "$@" 2>&1)
    say "end: $words (exit $?)"
    # What is not noted lapses: no reason to fail a job.
    return 0
}
