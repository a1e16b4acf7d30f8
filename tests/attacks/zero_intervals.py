#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A record has a timeout and pauses of zero; wanted: neither its pings nor its reconnections run
wild.
"""

import time

import lib


def attack():
    zero = {"timeout": "0", "backoff": "0", "backoff-max": "0"}
    command = "echo x >> DIRECTORY/ran; echo AAAA"
    peer = {"peer": lib.address(0), "watch": "t", "every": "1s", "retries": "1", **zero}
    with lib.Site({"z": {**peer, "connect": command}}) as site:
        processes = [site.service.pid, site.helper("pinger"), site.helper("scripts")]

        def measure():
            computed = sum(lib.cpu(process) for process in processes)
            return computed, len(lib.file_text(site.path("ran")).split())

        time.sleep(2)
        for state in ("answering", "silent"):
            if state == "silent":
                site.admin("LAB SILENCE z")
                time.sleep(2)
            before = measure()
            time.sleep(5)
            computed, runs = [now - then for now, then in zip(measure(), before)]
            lib.wanted(f"{state}: under 0.5 s of computing in 5 s", computed < 0.5, computed)
            lib.wanted(f"{state}: at most 10 runs of connect", runs <= 10, runs)


lib.run(attack)
