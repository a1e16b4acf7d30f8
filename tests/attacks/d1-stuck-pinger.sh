#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The pinger hangs (it is stopped by SIGSTOP) and a peer stops answering meanwhile. Wanted: somebody
# says so, or starts the pinger again.
. "$(dirname "$0")/common.sh"

lab_server
database << 'END'
[a]
peer = INET 198.18.0.11 4070
watch = t
every = 1s
timeout = 1s
END
service
cli active a
within_or_exit 10 pinger pgrep -P "$service" -f connect-pinger
sleep 2
pinger=$(pgrep -P "$service" -f connect-pinger)
processes+=("$pinger")
kill -STOP "$pinger"
cli admin LAB SILENCE a > /dev/null
sleep 30
cli status | tee "$directory/status" | tail -n 1
cli metrics | grep -E '_up[ {]'
noticed=0
grep -qE '^!|pinger (stuck|missing|silent)' "$directory/status" || grep -qE 'WARN.*pinger' "$log" ||
    noticed=1
grep -q '^a ' "$directory/status" || noticed=1
verdict $noticed '30 s without a ping are noticed'
