#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Core hangs for three seconds while the script helper runs 400 scripts, is killed and is
started again; wanted: each script runs exactly once.
"""

import collections
import os
import signal
import time

import lib

COUNT = 400
TEXT = """echo "$2" >> DIRECTORY/ran
for line in 1 2 3 4 5 6; do echo "a line of output, number $line"; done"""


def attack():
    names = [f"p{number:03d}" for number in range(COUNT)]
    peers = {
        name: {"peer": lib.address(number), "ifup": "DIRECTORY/script ifup"}
        for number, name in enumerate(names)
    }
    with lib.Site(peers, auto=False, run=False) as site:
        site.script("script", TEXT.replace("DIRECTORY", site.directory))
        core = site.start("connect-core", *site.core_options(), log=site.log)
        journal = ("--journal-dir", site.path("journal"))
        helper_options = ("--socket", site.helpers, "--allow-unsafe-scripts", *journal)
        helper = site.start("connect-ifscripts", *helper_options, log=site.path("first.log"))
        lib.within(10, lambda: site.status()[0]["scripts"]["connected"])
        # All runs are ordered before the helper has read the first of them.
        os.kill(helper.pid, signal.SIGSTOP)
        site.add(names)
        time.sleep(1.5)
        os.kill(core.pid, signal.SIGSTOP)
        os.kill(helper.pid, signal.SIGCONT)
        time.sleep(3)
        helper.kill()
        helper.wait()
        site.start("connect-ifscripts", *helper_options, log=site.path("second.log"))
        time.sleep(0.5)
        os.kill(core.pid, signal.SIGCONT)
        time.sleep(6)
        ran = collections.Counter(lib.file_text(site.path("ran")).split())
    twice = sum(count > 1 for count in ran.values())
    lib.wanted("no script ran twice", twice == 0, f"{twice} did")
    lib.wanted(f"all {COUNT} ran", len(ran) == COUNT, len(ran))


lib.run(attack)
