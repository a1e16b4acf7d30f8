#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# `connect' gets SIGTERM while an ifup is half done, which then writes a line that nobody may read.
# Wanted: ifup is finished, or it is reported that nobody knows how it ended.
. "$(dirname "$0")/common.sh"

lab_server
script ifup "sleep 2; echo 'step 1'; sleep 1; echo done >> $directory/done"
database << END
[alive]
peer = INET 198.18.0.10 4070
watch = t
every = 1s
timeout = 1s
ifup = $directory/ifup
END
options=(--startup --keep-state "$directory/state")
service
cli active alive
sleep 0.7
kill "$service"
wait "$service"
sleep 4
service
sleep 4
[ -e "$directory/done" ] || grep -qE 'WARN.*ifup' "$log"
verdict $? 'ifup is finished, or it is reported that nobody knows how it ended'
