# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What the shell scripts here share: a lab server, a database and a service in a temporary
# directory. BIN names the directory of the programs. Exit status: 0 if the script passes, 1 if it
# fails.

BIN=$(realpath "${BIN:-target/release}")
if [ ! -x "$BIN/connect" ]; then
    echo "there are no programs in $BIN; build them, or name their directory in BIN" >&2
    exit 2
fi
export PATH=$BIN:$PATH LC_ALL=C.UTF-8
unset TRIPEDIR TRIPESOCK TRIPEPEERDB TRIPE_CONNECT_DIR RUNTIME_DIRECTORY STATE_DIRECTORY NOTIFY_SOCKET

directory=$(mktemp -d)
chmod 755 "$directory"
socket=$directory/sock
log=$directory/log
# Processes to end; some may be stopped.
processes=()

clean_up() {
    local process
    # The shell reports each process that is killed, and the verdict is to be the last line.
    exec 2> /dev/null
    for process in "${processes[@]}"; do
        kill -CONT "$process" 2> /dev/null
        kill -TERM "$process" 2> /dev/null
    done
    # A service releases its name and ends its helpers; one that cannot is killed.
    for process in "${processes[@]}"; do
        within 3 ended "$process" || kill -KILL "$process" 2> /dev/null
    done
    wait 2> /dev/null
    rm -rf "$directory"
}
trap clean_up EXIT

ended() {
    ! kill -0 "$1" 2> /dev/null || grep -q '^State:.Z' "/proc/$1/status"
}

# within SECONDS COMMAND...: tries a command until it succeeds.
within() {
    local limit=$((SECONDS + $1))
    shift
    until "$@" > /dev/null 2>&1; do
        [ "$SECONDS" -lt "$limit" ] || return 1
        sleep 0.1
    done
}

# within_or_exit SECONDS WHAT COMMAND...: the same; without it the script is about nothing.
within_or_exit() {
    local seconds=$1 what=$2
    shift 2
    within "$seconds" "$@" && return
    echo "FAIL: no $what within $seconds s"
    [ ! -s "$log" ] || tail -n 5 "$log"
    exit 1
}

# Starts a lab server, in $lab. Addresses in 198.18.0.0/15 answer keys and pings.
lab_server() {
    tripe-lab -a "$socket" -u 127.0.0.1:0 --reflect 198.18.0.0/15 > "$directory/lab.log" 2>&1 &
    lab=$!
    processes+=("$lab")
    within_or_exit 10 'lab server' [ -S "$socket" ]
}

# Compiles the database from standard input.
database() {
    cat > "$directory/peers.in"
    compile || exit 1
}

compile() {
    connect-cli db compile -o "$directory/peers.cdb" "$directory/peers.in" > /dev/null
}

# script NAME TEXT: makes an executable script.
script() {
    printf '#!/bin/sh\n%s\n' "$2" > "$directory/$1"
    chmod 755 "$directory/$1"
}

cli() {
    timeout 15 connect-cli -a "$socket" --timeout 5 "$@"
}

# Starts the service, in $service, with what is in $options, and waits until it answers commands.
options=()
service() {
    connect -a "$socket" -d "$directory" -p peers.cdb "${options[@]}" > /dev/null 2>> "$log" &
    service=$!
    processes+=("$service")
    service_answers
}

service_answers() {
    within_or_exit 10 service cli list-active
}

# verdict STATUS SENTENCE: ends the script; the sentence says what is wanted.
verdict() {
    if [ "$1" -eq 0 ]; then
        echo "PASS: $2"
        exit 0
    fi
    echo "FAIL: $2"
    exit 1
}
