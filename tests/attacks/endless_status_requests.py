#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observers ask for the state without end, and read all of it; wanted: others get theirs soon,
and memory is bounded.

Usage: endless_status_requests.py [PEERS OBSERVERS SECONDS]
"""

import select
import sys
import time

import lib


def attack():
    count, observers, seconds = [int(word) for word in sys.argv[1:4]] or [2_000, 8, 12]
    peers = lib.watched(count, every="10s")
    with lib.Site(peers, auto=False) as site:
        site.add(peers)
        time.sleep(3)

        def ask():
            connection = lib.connect(site.observe, 60)
            connection.sendall(lib.hello())
            connection.setblocking(False)
            unsent, until = b"", time.monotonic() + seconds
            while time.monotonic() < until:
                readable, writable, _ = select.select([connection], [connection], [], 1)
                if readable and not connection.recv(1 << 20):
                    return
                if writable:
                    unsent = unsent or lib.STATUS * 200
                    unsent = unsent[connection.send(unsent) :]

        before = lib.cpu(site.service.pid)
        attackers = [lib.as_nobody(ask) for _ in range(observers)]
        until, most, slowest = time.monotonic() + seconds, 0, 0
        while time.monotonic() < until:
            time.sleep(seconds / 8)
            most = max(most, lib.memory(site.service.pid))
            slowest = max(slowest, site.status_time(60))
        computed = lib.cpu(site.service.pid) - before
        for attacker in attackers:
            lib.end(attacker)
        lib.wanted("another status takes under 3 s", slowest < 3, f"{slowest:.1f} s")
        lib.wanted("under 300 MB", most < 300, f"{most:.0f} MB, {computed:.1f} s of computing")


lib.run(attack)
