#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""An observer sends a thousand small requests for the state of 10,000 peers and leaves, again
and again; wanted: pings are sent in time, and memory is bounded.
"""

import os
import time

import lib

COUNT = 10_000


def attack():
    peers = lib.watched(COUNT, every="10s")
    with lib.Site(peers, auto=False) as site:
        site.add(peers)
        # Until all are pinged at their interval.
        time.sleep(14)

        def ask_and_leave():
            for _ in range(12):
                connection = lib.connect(site.observe, 60)
                connection.sendall(lib.hello() + lib.STATUS * 1000)
                time.sleep(1)
                connection.close()

        def replies():
            return sum(peer["statistics"]["replies"] for peer in site.status(120)[1])

        def pace(meanwhile):
            """Replies a second while something is done."""
            before, began = replies(), time.monotonic()
            meanwhile()
            return (replies() - before) / (time.monotonic() - began)

        most, slowest = 0, 0

        def under_attack():
            nonlocal most, slowest
            attacker = lib.as_nobody(ask_and_leave)
            for _ in range(6):
                time.sleep(2)
                most = max(most, lib.memory(site.service.pid))
            slowest = site.status_time(120)
            os.waitpid(attacker, 0)

        quiet = pace(lambda: time.sleep(12))
        attacked = pace(under_attack)
        lib.wanted(
            "19 of 20 of the replies of a quiet time",
            attacked > 0.95 * quiet,
            f"{attacked:.0f} in place of {quiet:.0f} a second",
        )
        lib.wanted("a status takes under 3 s", slowest < 3, f"{slowest:.1f} s")
        lib.wanted("under 300 MB of memory", most < 300, f"{most:.0f} MB")


lib.run(attack)
