#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Another client sends ADD and KILL in one write. Wanted: no ifdown for a peer that had no ifup.
. "$(dirname "$0")/common.sh"

lab_server
for which in up down; do
    script if$which "echo $which >> $directory/ran"
done
touch "$directory/ran"
database << END
[a]
peer = INET 198.18.0.11 4070
ifup = $directory/ifup
ifdown = $directory/ifdown
END
service
python3 - "$socket" << 'END'
import socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
client.sendall(b"ADD a INET 198.18.0.11 4070\nKILL a\n")
answers = client.makefile()
print(answers.readline() + answers.readline(), end="")
END
sleep 2
cat "$directory/ran"
[ "$(grep -c up "$directory/ran")" = "$(grep -c down "$directory/ran")" ]
verdict $? 'ifup and ifdown come in pairs'
