#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""An observer subscribes to events without end on one connection; wanted: others get the state
soon, and memory is bounded.

Usage: endless_subscriptions.py [many|nothing|big]
"""

import sys
import time

import lib

SECONDS = 12
# How many subscriptions, and to what.
FORMS = {
    "many": (20_000, {"kinds": ["reply", "missed"]}),
    "nothing": (4_000, {"peers": ["nobody"] * 200}),
    "big": (60, {"peers": ["a"] * 200_000}),
}


def attack():
    for form in sys.argv[1:] or FORMS:
        count, events = FORMS[form]
        with lib.Site(lib.watched(200)) as site:
            line = lib.request(1, {"events": events})

            def subscribe():
                connection = lib.connect(site.observe, 60)
                connection.sendall(lib.hello())
                lib.discard(connection)
                for _ in range(count):
                    connection.sendall(line)
                time.sleep(SECONDS)

            attacker = lib.as_nobody(subscribe)
            most, slowest = 0, 0
            for _ in range(6):
                time.sleep(SECONDS / 6)
                slowest = max(slowest, site.status_time(60))
                most = max(most, lib.memory(site.service.pid))
            lib.end(attacker)
            time.sleep(1)
            lib.wanted(f"{form}: core lives", site.service.poll() is None)
            lib.wanted(f"{form}: a status takes under 3 s", slowest < 3, f"{slowest:.1f} s")
            lib.wanted(f"{form}: under 100 MB of memory", most < 100, f"{most:.0f} MB")


lib.run(attack)
