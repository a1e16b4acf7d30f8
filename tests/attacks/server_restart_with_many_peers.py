#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server restarts, and thousands of peers are gone at once, each of which had an ifdown;
wanted: core answers within five seconds.

Usage: server_restart_with_many_peers.py [COUNT]
"""

import contextlib
import sys
import time

import lib


def attack():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    peers = lib.watched(count, every="1h", ifdown="/bin/true", disconnect=":")
    with lib.Site(peers, auto=False, run=False) as site:
        core = site.start("connect-core", *site.core_options(), log=site.log)
        options = ("--runtime-dir", site.runtime, "--allow-unsafe-scripts")
        site.start("connect-ifscripts", *options, log=site.path("scripts.log"))

        def is_ready():
            state = site.status()[0]
            return state["server"] == "up" and state["scripts"]["connected"]

        # Nothing is run before a script helper has told what it knows of.
        lib.within(10, is_ready)
        site.add(peers)
        known = lib.within(60, lambda: len(site.status(60)[1]) == count)
        lib.wanted(f"core knows {count} peers", known)
        before = lib.cpu(core.pid)
        with contextlib.suppress(OSError):
            site.admin("LAB RESTART", timeout=2)
        time.sleep(0.5)
        took = site.status_time(300)
        computed = lib.cpu(core.pid) - before
        scripts = site.status(300)[0]["counters"]["scripts"]
        lib.wanted("scripts were ordered", sum(scripts.values()) >= count, f"{scripts}")
        lib.wanted(
            "core answers within 5 s of the restart",
            took < 5,
            f"{took:.1f} s, {computed:.1f} s of computing, {lib.memory(core.pid):.0f} MB",
        )
        core.kill()


lib.run(attack)
