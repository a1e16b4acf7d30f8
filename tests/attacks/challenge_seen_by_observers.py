#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connect command writes a greeting before its challenge, which then counts as ordinary
output; wanted: neither observers nor the log get to see the challenge.
"""

import lib

SECRET = "c2VjcmV0LWNoYWxsZW5nZS1hYmNkZWZnaGlq"


def attack():
    connecting = {"peer": lib.address(0), "connect": f"echo 'Welcome to hub'; echo {SECRET}"}
    with lib.Site({"hub": connecting}, auto=False) as site:
        observer = lib.Client(site.observe, timeout=4)
        observer.send(lib.request(1, {"events": {}}))
        site.cli("active", "hub")
        seen = [reply for reply in observer.replies() if "event" in reply]
        observer.close()
        log = lib.file_text(site.log)
    lib.wanted("observers saw the command run", any("ended" in str(reply) for reply in seen))
    told = [str(reply)[:120] for reply in seen if SECRET in str(reply)]
    lib.wanted("no event has the challenge", not told, told[:1] or "")
    lib.wanted("the log does not have it", SECRET not in log)


lib.run(attack)
