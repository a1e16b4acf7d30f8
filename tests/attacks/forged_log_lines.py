#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strangers at the observers' socket send what looks like lines of a log, and very much of it;
wanted: the log has no line and no control character of theirs, and does not grow fast.
"""

import os
import time

import lib

FORGED = "2026-11-25T21:00:00Z ERROR forged line"


def attack():
    with lib.Site(lib.watched(3)) as site:

        def meet(line):
            connection = lib.connect(site.observe, 10)
            connection.sendall(line)
            return connection

        def forge():
            version = f"x\n{FORGED} \x1b[2J\x1b]0;owned\x07"
            other = b'{"role":"operator","protocol":99,"version":'
            meet(other + lib.json.dumps(version).encode() + b"}\n").recv(4096)
            connection = meet(lib.hello())
            connection.sendall(b"garbage \x1b[31mred\x1b[0m \x07 \xe2\x80\xae reversed\n")
            connection.sendall(b'{"id":1,"request":{"\\u001b[2Jx\\nforged":{}}}\n')
            time.sleep(0.5)

        def flood_with_hellos():
            big = b'{"role":"operator","protocol":99,"version":"' + b"A" * (1 << 20)
            big = big[: (1 << 20) - 100] + b'"}\n'
            until = time.monotonic() + 10
            while time.monotonic() < until:
                try:
                    connection = meet(big)
                    connection.recv(100)
                    connection.close()
                except OSError:
                    pass

        def flood_with_nonsense():
            connection = meet(lib.hello())
            lib.discard(connection)
            until = time.monotonic() + 10
            while time.monotonic() < until:
                connection.sendall(b"x" * 60 + b"\n")

        before = os.path.getsize(site.log)
        os.waitpid(lib.as_nobody(forge), 0)
        time.sleep(1)
        with open(site.log, "rb") as file:
            file.seek(before)
            log = file.read()
        bad = [byte for byte in (b"\x1b", b"\x07", "\u202e".encode()) if byte in log]
        lib.wanted("no control characters in the log", not bad, bad or "")
        beginnings = (FORGED.encode(), b"forged")
        forged = [line for line in log.splitlines() if line.startswith(beginnings)]
        lib.wanted("no forged line in the log", not forged, forged[:1] or "")
        for what, flood in (
            ("hellos of 1 MB", flood_with_hellos),
            ("malformed lines", flood_with_nonsense),
        ):
            before = os.path.getsize(site.log)
            os.waitpid(lib.as_nobody(flood), 0)
            time.sleep(2)
            grown = (os.path.getsize(site.log) - before) / 1e6
            lib.wanted(f"10 s of {what} put under 1 MB into the log", grown < 1, f"{grown:.2f} MB")


lib.run(attack)
