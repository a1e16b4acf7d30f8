#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A peer has the name of an option of PING, which some servers take for one; wanted: it is
refused with a reason, or found dead and removed like any other.
"""

import lib


def attack():
    dying = {"watch": "t", "every": "1s", "timeout": "1s", "retries": "1"}
    peers = {"-quiet": {"peer": lib.address(0), **dying}, "ok": {"peer": lib.address(1)}}
    for reading in ("refused", "accepted"):
        switch = ["--switch", f"quiet-option={reading}"]
        with lib.Site(peers, auto=False, lab_options=switch) as site:
            output = site.cli("submit", "active", "-quiet")
            if output.returncode:
                lib.wanted(f"{reading}: a reason", output.stderr != "", output.stderr.strip())
                continue
            site.admin("LAB SILENCE -- -quiet")
            site.admin("LAB SILENCE -quiet")
            gone = lib.within(15, lambda: not any("-quiet" in line for line in site.admin("LIST")))
            lib.wanted(f"{reading}: the dead peer is removed", gone, site.admin("LIST"))


lib.run(attack)
