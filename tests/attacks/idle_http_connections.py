#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients of the metrics connect and say nothing, or nonsense, again and again, or do not read
their answers; wanted: a scrape is answered all the same, and nonsense gets a status.
"""

import collections
import contextlib
import re
import signal
import socket
import threading
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


def flood(port, ended, request):
    """Connects 200 times a second, sends this and reads nothing; 500 connections stay."""
    kept = collections.deque(maxlen=500)
    while not ended.wait(0.005):
        with contextlib.suppress(OSError):
            kept.append(socket.create_connection(("127.0.0.1", port), 1))
            kept[-1].sendall(request)


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
        # Beside the first, a scrape takes as long as one of very many peers.
        for what, request, pause in (
            ("nothing is asked", b"", 1),
            ("no answer is read", SCRAPE, 0),
        ):
            ended = threading.Event()
            flooding = threading.Thread(target=flood, args=(port, ended, request))
            flooding.start()
            answers = []
            for _ in range(5):
                time.sleep(0.5)
                if pause:
                    site.service.send_signal(signal.SIGSTOP)
                    threading.Timer(pause, site.service.send_signal, [signal.SIGCONT]).start()
                answers.append(get(port))
            ended.set()
            flooding.join()
            slowest = max(took for _, took in answers)
            good = sum(" 200 " in line for line, _ in answers)
            lib.wanted(
                f"5 scrapes beside 200 connections a second on which {what}",
                good == 5 and slowest < 3,
                f"{good} answered, the slowest after {slowest:.1f} s",
            )
        used = lib.memory(server.pid)
        lib.wanted("under 60 MB of memory", used < 60, f"{used:.0f} MB")


lib.run(attack)
