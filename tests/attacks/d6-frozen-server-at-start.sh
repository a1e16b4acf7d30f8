#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The server's socket accepts connections but nobody answers (the server is stopped by SIGSTOP).
# Wanted: --server-wait ends the wait.
. "$(dirname "$0")/common.sh"

lab_server
database < /dev/null
kill -STOP "$lab"
began=$SECONDS
timeout 15 connect -a "$socket" -d "$directory" --server-wait 3s 2>&1 | tail -n 1
code=${PIPESTATUS[0]}
took=$((SECONDS - began))
echo "exit status $code after $took s"
[ $took -le 8 ]
verdict $? '--server-wait 3s holds for a server that says nothing'
