#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Seventy connect commands hang and take all places of the script helper; wanted: the ifup of
another peer runs within ten seconds.
"""

import contextlib
import os
import signal

import lib


def attack():
    peers = {
        f"h{number:03d}": {"peer": lib.address(number), "connect": "exec sleep 300", "watch": "t"}
        for number in range(70)
    }
    peers["victim"] = {"peer": lib.address(300), "ifup": "DIRECTORY/up", "auto": "nil"}
    with lib.Site(peers) as site:
        site.script("up", f"echo up >> {site.directory}/ran")
        helper = site.helper("scripts")
        lib.within(10, lambda: len(lib.children(helper)) >= 64)
        hanging = lib.children(helper)
        site.admin(f"ADD victim {lib.address(300)}")
        ran = lib.within(10, lambda: lib.file_text(site.path("ran")))
        lib.wanted("the ifup runs within 10 s", ran, f"beside {len(hanging)} that hang")
        hanging = lib.children(helper)
        lib.stop(site.service)
        for child in hanging:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)


lib.run(attack)
