#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients of the metrics connect and say nothing, or nonsense; wanted: a scrape is answered all
the same, and nonsense gets a status.
"""

import re
import socket
import time

import lib

SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


def get(port, request=SCRAPE):
    """The first line of the answer, and the seconds that it took."""
    began = time.monotonic()
    data = b""
    try:
        with socket.create_connection(("127.0.0.1", port), 30) as connection:
            connection.sendall(request)
            while received := connection.recv(65536):
                data += received
    except OSError as error:
        data = data or repr(error).encode()
    return data.split(b"\r\n")[0].decode("utf-8", "replace"), time.monotonic() - began


def attack():
    with lib.Site(lib.watched(5)) as site:
        log = site.path("metrics.log")
        metrics = ("-a", site.admin_socket, "metrics", "--listen", "127.0.0.1:0")
        server = site.start("connect-cli", *metrics, log=log)
        found = lib.within(10, lambda: re.search(r":(\d+)/metrics", lib.file_text(log)))
        port = int(found[1])
        for what, request, statuses in (
            ("a scrape", SCRAPE, "200"),
            ("a header of 20 kB", SCRAPE[:-2] + b"X: " + b"a" * 20000 + b"\r\n\r\n", "431|400"),
            ("nonsense", b"\x00\xff\r\n\r\n", "400"),
            ("POST", b"POST /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "405"),
            ("another path", b"GET /../metrics HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
            ("five scrapes in one write", SCRAPE * 5, "200"),
        ):
            line, took = get(port, request)
            answered = any(f" {status}" in f"{line} " for status in statuses.split("|"))
            lib.wanted(f"{what} gets {statuses}", answered and took < 10, line)
        for count in (16, 64, 200):
            idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
            line, took = get(port)
            lib.wanted(
                f"a scrape beside {count} idle connections takes under 3 s",
                " 200 " in line and took < 3,
                f"{line!r} after {took:.1f} s",
            )
            for connection in idle:
                connection.close()
        used = lib.memory(server.pid)
        lib.wanted("under 60 MB of memory", used < 60, f"{used:.0f} MB")


lib.run(attack)
