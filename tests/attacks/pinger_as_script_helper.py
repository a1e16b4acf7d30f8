#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process of the pinger's user says that it is the script helper; wanted: it is refused,
hears no command, and scripts run.
"""

import os
import time

import lib


def attack():
    peer = {"p00000": {"peer": lib.address(0), "ifup": "DIRECTORY/up", "connect": "secret"}}
    with lib.Site(peer, auto=False, run=False) as site:
        site.script("up", f"echo up >> {site.directory}/runs")
        users = ("--pinger-user", str(lib.NOBODY), "--helpers-mode", "666")
        site.start("connect-core", *site.core_options(), *users, log=site.log)
        lib.within(10, lambda: site.status(2)[0]["server"] == "up")
        heard = site.path("heard")

        def pretend():
            connection = lib.connect(site.helpers)
            connection.sendall(lib.hello("ifscripts") + b'{"resume":[]}\n')
            with open(heard, "ab", buffering=0) as file:
                while words := connection.recv(4096):
                    file.write(words)

        with open(heard, "w", encoding="utf-8"):
            os.chmod(heard, 0o666)
        impostor = lib.as_nobody(pretend)
        time.sleep(1)
        options = ("--socket", site.helpers, "--allow-unsafe-scripts")
        site.start("connect-ifscripts", *options, log=site.path("helper.log"))
        lib.within(10, lambda: site.status(2)[0]["scripts"]["connected"])
        site.admin(f"ADD p00000 {lib.address(0)}")
        ran = lib.within(10, lambda: lib.file_text(site.path("runs")))
        lib.end(impostor)
        lib.wanted("the script runs", ran == "up\n", lib.file_text(site.log)[-500:])
        text = lib.file_text(heard)
        lib.wanted("the pinger's user hears no command", "/up" not in text, text[-300:])


lib.run(attack)
