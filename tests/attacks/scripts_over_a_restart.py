#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""`connect` restarts while scripts run and others wait for them; wanted: the scripts of a peer
run one after the other, and those that waited run too.

Usage: scripts_over_a_restart.py [term|kill]
"""

import signal
import sys
import time

import lib

TEXT = """echo "start $2 $1" >> DIRECTORY/ran
sleep 6
echo "end $2 $1" >> DIRECTORY/ran"""


def attack():
    hows = {"term": signal.SIGTERM, "kill": signal.SIGKILL}
    for how in sys.argv[1:] or hows:
        both = {"ifup": "DIRECTORY/script ifup", "ifdown": "DIRECTORY/script ifdown"}
        peers = {
            name: {"peer": lib.address(number), **both}
            for number, name in enumerate(["overlap", "queued"])
        }
        with lib.Site(peers, auto=False, options=["--keep-state", "state"]) as site:
            site.script("script", TEXT.replace("DIRECTORY", site.directory))
            site.add(["overlap", "queued"])
            time.sleep(0.5)
            # Its ifdown waits for its ifup.
            site.admin("KILL queued")
            # The state is written two seconds after a change.
            time.sleep(2.6)
            site.service.send_signal(hows[how])
            site.service.wait()
            site.run()
            # While its ifup still runs.
            site.admin("KILL overlap")
            time.sleep(16)
            ran = [line.split() for line in lib.file_text(site.path("ran")).splitlines()]
        for name in ("overlap", "queued"):
            found = [(what, script) for what, peer, script in ran if peer == name]
            scripts = ("ifup", "ifdown")
            expected = [(what, script) for script in scripts for what in ("start", "end")]
            lib.wanted(f"{how}: {name} went up, then down", found == expected, found)


lib.run(attack)
