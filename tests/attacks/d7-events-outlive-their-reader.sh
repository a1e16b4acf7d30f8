#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Whoever reads the output of `events' has gone, and no event comes. Wanted: `events' ends all the
# same, as `tail -f' does.
. "$(dirname "$0")/common.sh"

lab_server
database < /dev/null
service
timeout 10 connect-cli -a "$socket" events --no-snapshot --kind unreachable | head -c 0
code=${PIPESTATUS[0]}
[ "$code" -ne 124 ]
verdict $? "events ends by itself (exit status $code)"
