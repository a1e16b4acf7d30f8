#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The database changes while core has no free file descriptor; some seconds later it has. Wanted:
# the new database is loaded without anybody's help.
. "$(dirname "$0")/common.sh"

lab_server
database << 'END'
[alive]
peer = INET 198.18.0.10 4070
watch = t
every = 1s
timeout = 1s
END
service
cli active alive
descriptors=$(find "/proc/$service/fd" -mindepth 1 | wc -l)
prlimit --pid "$service" --nofile=$((descriptors + 3)):
python3 - "$socket.connect/observe.sock" << 'END' &
import socket, sys, time
connections = []
for _ in range(20):
    connections.append(socket.socket(socket.AF_UNIX))
    connections[-1].connect(sys.argv[1])
time.sleep(4)
END
processes+=($!)
sleep 1
sed -i 's/every = 1s/every = 2s/' "$directory/peers.in"
compile
sleep 5
prlimit --pid "$service" --nofile=1024:
sleep 5
cli status | head -n 2
cli submit info alive | grep -q every=2s
verdict $? 'the new database is in use'
