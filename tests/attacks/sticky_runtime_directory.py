#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runtime directory is sticky and everybody may write to it, so a stranger can stand in for
core while core is away; wanted: the script helper runs nothing for a stranger, and core does not begin
there.
"""

import os
import socket
import time

import lib


def attack():
    with lib.Site(lib.watched(2), run=False) as site:
        runtime, proof = site.path("runtime"), site.path("proof")
        os.mkdir(runtime)
        os.chmod(runtime, 0o1777)
        log = site.path("helper.log")
        site.start("connect-ifscripts", "--runtime-dir", runtime, log=log)

        def stand_in():
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(f"{runtime}/helpers.sock")
            listener.listen(4)
            listener.settimeout(5)
            connection, _ = listener.accept()
            connection.sendall(lib.hello("core", "evil"))
            connection.recv(4096)
            time.sleep(0.2)
            run = {"run": 1, "peer": "x", "kind": "ifup", "environment": [], "limit": None}
            run["command"] = {"shell": f"id > {proof}"}
            for message in ({"ready": {}}, {"run": [run]}):
                connection.sendall(lib.json.dumps(message).encode() + b"\n")
            time.sleep(2)

        os.waitpid(lib.as_nobody(stand_in), 0)
        found = lib.file_text(proof).strip()
        lib.wanted("nothing is run for a stranger", found == "", found)
        options = (*site.core_options(), "--runtime-dir", runtime)
        core = site.start("connect-core", *options, log=site.log)
        ended = lib.within(10, lambda: core.poll() is not None)
        lib.wanted("core does not begin in such a directory", ended, lib.file_text(site.log)[-300:])


lib.run(attack)
