#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The log goes into a pipe that nobody reads. Wanted: core does not wait in write(2), but works on.
. "$(dirname "$0")/common.sh"

lab_server
database << 'END'
[b]
peer = INET 198.18.0.11 4070
watch = t
every = 1s
timeout = 1s
END
mkfifo "$directory/pipe"
# Open for reading, by a process that never reads.
exec 9<> "$directory/pipe"
connect -a "$socket" -d "$directory" 2> "$directory/pipe" 9>&- &
service=$!
processes+=("$service")
service_answers
cli active b
for count in $(seq 900); do
    if ! timeout 1 connect-cli -a "$socket" list-active > /dev/null 2>&1; then
        echo "no answer after $count commands; core waits in $(cat "/proc/$service/wchan")"
        break
    fi
done
timeout 4 connect-cli -a "$socket" --timeout 3 status > /dev/null
verdict $? 'status answers although the log is not read'
