#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client subscribes to events and causes some in the same write; wanted: it gets every event
from the number on that the service, which is told first, includes.
"""

import time

import lib


def attack():
    subscribe = lib.request(1, {"events": {}})
    with lib.Site(lib.watched(1, every="1h")) as site:
        for writes in (1, 2):
            # What the start-up causes is over.
            time.sleep(1.2)
            client = lib.Client(site.control, timeout=2)
            commands = lib.request(2, {"submit": {"words": ["help"]}})
            if writes == 1:
                client.send(subscribe + commands)
            else:
                client.send(subscribe)
                time.sleep(0.3)
                client.send(commands)
            time.sleep(0.3)
            client.send(lib.request(3, {"submit": {"words": ["help"]}}))
            since, numbers = None, []
            for reply in client.replies():
                # Before 2.0.0's last form the service had no number, and events came after `live`.
                since = reply.get("service", {}).get("seq", since)
                if since is None and "live" in reply:
                    since = reply["live"]["seq"]
                if "event" in reply:
                    numbers.append(reply["event"]["seq"])
            client.close()
            expected = list(range(since + 1, since + 1 + len(numbers)))
            lib.wanted(
                f"no gap, with {writes} writes",
                len(numbers) >= 2 and numbers == expected,
                f"after {since} {numbers}",
            )


lib.run(attack)
