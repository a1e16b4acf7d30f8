#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""One user takes every connection to the observers' socket that it can get, wants all events, and
reads none; wanted: root, another user and the metrics get the state all the same, and memory is
bounded.
"""

import contextlib
import os
import time

import lib

CONNECTIONS = 300
ANOTHER = 61001


def attack():
    with lib.Site(lib.watched(1_000)) as site:

        def hold():
            held = []
            for _ in range(CONNECTIONS):
                with contextlib.suppress(OSError):
                    connection = lib.connect(site.observe, 1)
                    held.append(connection)
                    connection.sendall(lib.hello() + lib.request(1, {"events": {}}))
            time.sleep(60)

        def time_of_another():
            reading, writing = os.pipe()
            child = lib.as_nobody(
                lambda: os.write(writing, str(site.status_time(10)).encode()), user=ANOTHER
            )
            os.close(writing)
            with os.fdopen(reading) as file:
                took = float(file.read() or 10)
            os.waitpid(child, 0)
            return took

        attacker = lib.as_nobody(hold)
        most = 0
        for _ in range(10):
            time.sleep(1)
            most = max(most, lib.memory(site.service.pid))
        for who, took in (("root", site.status_time(10)), ("another user", time_of_another())):
            lib.wanted(f"a status of {who} takes under 1 s", took < 1, f"{took:.2f} s")
        metrics = site.cli("metrics").stdout
        up = next((line for line in metrics.splitlines() if line.startswith("tripe_connect_up")), "")
        lib.wanted("the metrics say that the service is up", up.endswith(" 1"), up)
        lib.wanted("under 160 MB of memory", most < 160, f"{most:.0f} MB")
        with contextlib.suppress(OSError, EOFError, StopIteration):
            print("counts:", site.status(10)[0].get("observers"))
        lib.end(attacker)


lib.run(attack)
