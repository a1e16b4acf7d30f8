#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A record of 20 keys with 60,000 bytes each, every one of which is below the limit of 65,536, is
# larger than a message may be. Wanted: the compiler refuses it; or the script that needs it is
# reported as not started, nothing stays pending, and `info' answers.
. "$(dirname "$0")/common.sh"

lab_server
script ifup :
{
    printf '[huge]\npeer = INET 198.18.0.11 4070\nifup = %s/ifup\n' "$directory"
    for number in $(seq 20); do
        printf 'note%d = %060000d\n' "$number" 0
    done
} > "$directory/peers.in"
connect-cli db compile --strict -o "$directory/peers.cdb" "$directory/peers.in" ||
    verdict 0 'the compiler refuses a record that is too large'
service
cli active huge
sleep 1
bad=0
cli info huge > /dev/null || {
    echo "info: exit status $?"
    bad=1
}
pending=$(cli metrics | sed -n 's/^tripe_connect_scripts_pending //p')
grep -q not-started "$log" || {
    echo "no warning that it was not started; scripts pending: $pending"
    bad=1
}
verdict $bad 'a record that is too large is reported'
