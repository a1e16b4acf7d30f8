#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everybody may write to the directory of the state, so a stranger can leave commands there;
wanted: core does not begin with it.
"""

import os

import lib


def attack():
    with lib.Site(lib.watched(2), run=False) as site:
        for name, below in (("state", ""), ("above", "/state")):
            directory = site.path(name)
            os.mkdir(directory)
            os.chmod(directory, 0o1777 if below == "" else 0o777)
            log = site.path(f"{name}.log")
            options = (*site.core_options(), "--keep-state", directory + below)
            core = site.start("connect-core", *options, log=log)
            ended = lib.within(10, lambda process=core: process.poll() is not None)
            text = lib.file_text(log)
            lib.wanted("core does not begin with such a state", ended, text[-300:])
            lib.wanted("it says why", "is not safe" in text, text[-300:])
            lib.stop(core)


lib.run(attack)
