#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server has 30,000 peers and more, whose state is larger than what core keeps for one
operator; wanted: `status` shows it.

Usage: status_of_many_peers.py [COUNT...]
"""

import sys
import time

import lib


def attack():
    for count in [int(word) for word in sys.argv[1:]] or [30_000, 36_000]:
        peers = lib.watched(count, every="10s")
        with lib.Site(peers, auto=False) as site:
            site.add(peers)
            # Until each has been pinged a few times and has figures.
            time.sleep(35)
            output = site.cli("status", timeout=120)
            lines = len(output.stdout.splitlines())
            lib.wanted(
                f"status shows {count} peers",
                output.returncode == 0 and lines > count,
                f"exit status {output.returncode}, {lines} lines, {output.stderr.strip()[:80]}",
            )
            site.service.kill()


lib.run(attack)
