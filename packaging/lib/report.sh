# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Numbered steps, each with its result, and a summary at the end.

steps=0 failures=0
# Where a step's output goes, to be shown if it fails.
report=${work:?}/report

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    good=$'\e[32m' bad=$'\e[31m' plain=$'\e[0m'
else
    good='' bad='' plain=''
fi

# step TITLE COMMAND...: runs a command, by itself in a shell of its own that any error ends.
step() {
    local title=$1 began=$SECONDS code
    shift
    steps=$((steps + 1))
    printf '%2d  %-58s ' "$steps" "$title"
    set +e
    (
        set -e
        "$@"
    ) > "$report" 2>&1
    code=$?
    set -e
    if [ $code -eq 0 ]; then
        printf '%sok%s %4d s\n' "$good" "$plain" $((SECONDS - began))
        return
    fi
    failures=$((failures + 1))
    printf '%sfailed%s %d s\n' "$bad" "$plain" $((SECONDS - began))
    tail -n 20 "$report" | sed 's/^/      | /'
    if declare -F evidence > /dev/null; then
        evidence 2>&1 | sed 's/^/      : /'
    fi
}

# vital TITLE COMMAND...: a step without which there is no point in any other.
vital() {
    local before=$failures
    step "$@"
    [ "$failures" -eq "$before" ] || summary
}

# possible TITLE COMMAND...: a step that fails where this machine does not allow what is to come.
# That is no fault of the package, so the exit status is 77 then.
possible() {
    local before=$failures
    step "$@"
    [ "$failures" -ne "$before" ] || return 0
    failures=$before
    echo 'That cannot be done on this machine; what comes after it was not tried.'
    [ "$failures" -eq 0 ] || summary
    exit 77
}

# Ends the program, by 1 if a step has failed.
summary() {
    printf '\n%s: %d passed, %d failed\n' "${0##*/}" $((steps - failures)) "$failures"
    [ "$failures" -eq 0 ]
    exit
}

# same WHAT EXPECTED ACTUAL
same() {
    [ "$2" = "$3" ] && return
    printf '%s: expected "%s", found "%s"\n' "$1" "$2" "$3"
    return 1
}

# within SECONDS COMMAND...: waits until a command succeeds. It is asked again every tenth of a
# second, so that a run takes as long as what is waited for and no longer.
within() {
    local limit=$((SECONDS + $1))
    shift
    until "$@" > /dev/null 2>&1; do
        if [ "$SECONDS" -ge "$limit" ]; then
            echo "waited in vain for: $*"
            # Once more, to see why.
            "$@"
            return 1
        fi
        sleep 0.1
    done
}
