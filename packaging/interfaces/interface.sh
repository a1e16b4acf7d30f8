# shellcheck shell=sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What ifup and ifdown have in common: steps that may fail, what is said to the server, and the
# words of a record. The script says in $warner under which name it warns.

# Whether a step has failed so far; the exit status of the script.
failed=0

# Says a command to the server: by connect-cli, which comes with these scripts, or by tripectl of
# TrIPE. Both find the socket in TRIPESOCK, which the connect service sets.
tell() {
    if command -v connect-cli >/dev/null; then
        connect-cli admin --timeout 5s "$@"
    elif command -v tripectl >/dev/null; then
        tripectl "$@"
    else
        echo 'neither connect-cli nor tripectl is in PATH' >&2
        return 127
    fi
}

# warn WORD...: has the server broadcast a warning, WARN USER tripe-ifup WORD..., and writes the
# words to standard error, since nothing keeps what the server broadcasts. The words may come from
# a record: what is not printable ASCII would break the line or a reader of it, and a line that is
# too long would be refused.
warn() {
    # shellcheck disable=SC2034 # the exit status of the script
    failed=1
    words=$(printf '%s' "$*" | tr -c ' -~' '?' | cut -c 1-400)
    # shellcheck disable=SC2086,SC2154 # one word each, as TrIPE's own script does it
    tell WARN "$warner" $words
    # Last: connect-cli doctor shows the last line of a script that has failed.
    printf '%s\n' "$words" >&2
}

# try COMMAND...: a step. If it fails, the server warns of it, and the next steps are still taken.
try() {
    code=0
    "$@" || code=$?
    [ "$code" -eq 0 ] || warn command-failed "rc=$code" "$@"
    return "$code"
}

# Whether a word is a number that shells calculate with: no sign, no octal, no overflow.
is_number() {
    case $1 in
    '' | *[!0-9]* | 0?* | ??????????*) return 1 ;;
    esac
}

# The option of ip(8) for the family of an address or network.
family_of() {
    case $1 in
    *:*) echo -6 ;;
    *) echo -4 ;;
    esac
}

# of_family FAMILY WORD...: the words that are addresses of a family.
of_family() {
    of=$1
    shift
    for word in "$@"; do
        [ "$(family_of "$word")" != "$of" ] || printf '%s\n' "$word"
    done
}

# Whether the record says anything that makes an interface carry packets. Without that it is left
# down, for somebody else to configure.
is_configured() {
    # shellcheck disable=SC2086 # lists of words
    set -- ${P_LADDR-} ${P_RADDR-} ${P_NETS-}
    [ $# -gt 0 ]
}

# Whether an interface is a tunnel device such as the server makes, and not, say, a network card
# that a record names by mistake.
is_tunnel() {
    ip -details -oneline link show dev "$1" 2>/dev/null | grep -q ' tun type tun '
}
