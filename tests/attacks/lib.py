# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Python scripts here share: a lab server and a service in a temporary directory,
clients of its sockets, an attacker without rights, and a verdict.

BIN names the directory of the programs. Exit status: 0 if the script passes, 1 if it fails.
"""

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

BIN = os.path.abspath(os.environ.get("BIN") or "target/release")
# Nothing of our own environment leads the programs elsewhere.
OTHERS = ("NOTIFY_SOCKET", "STATE_DIRECTORY", "RUNTIME_DIRECTORY")
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith("TRIPE") and name not in OTHERS
}
NOBODY = 65534
PROTOCOL = 1


def hello(role="operator", version="attack"):
    """The first line that a program of this role sends."""
    return json.dumps({"role": role, "protocol": PROTOCOL, "version": version}).encode() + b"\n"


def request(number, what):
    """A request as a line."""
    return json.dumps({"id": number, "request": what}).encode() + b"\n"


STATUS = request(1, {"status": {}})


# Processes.


def start(name, *arguments, log, environment=None):
    """Starts one of the programs, with its output in a file and more in its environment."""
    with open(log, "ab") as file:
        return subprocess.Popen(
            [f"{BIN}/{name}", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**ENVIRONMENT, **(environment or {})},
        )


def stop(*processes):
    """Ends processes, those that are stopped too."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
    for process in processes:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def memory(pid):
    """How much memory a process has, in MB."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1000


def cpu(pid):
    """How many seconds a process has computed."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children(pid):
    """The children of a process, all of whose threads may have some."""
    found = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/children", encoding="utf-8") as file:
            found += [int(child) for child in file.read().split()]
    return found


def as_nobody(attack, user=NOBODY):
    """Runs a function in a process of its own, as an ordinary user; gives the process number."""
    pid = os.fork()
    if pid:
        return pid
    try:
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
        attack()
    except OSError as error:
        print("the attacker was stopped:", error, flush=True)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(0)


def end(pid):
    """Ends a process that `as_nobody` started."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def within(seconds, look):
    """Tries until something is found; gives what was found, or None."""
    limit = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, EOFError, ValueError, KeyError, TypeError):
            found = look()
            if found:
                return found
        if time.monotonic() > limit:
            return None
        time.sleep(0.05)


def file_text(path):
    """What a file contains; nothing if it is not there."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


# Sockets.


def connect(path, timeout=30):
    """A connection to a Unix socket."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(timeout)
    connection.connect(path)
    return connection


def discard(connection):
    """Reads everything that comes, on a thread of its own, and throws it away."""

    def read():
        with contextlib.suppress(OSError):
            while connection.recv(1 << 20):
                pass

    threading.Thread(target=read, daemon=True).start()


class Client:
    """A client of one of the service's sockets, its hello said and heard."""

    def __init__(self, path, timeout=30):
        self.socket = connect(path, timeout)
        self.file = self.socket.makefile("rb")
        self.socket.sendall(hello())
        self.file.readline()
        self.number = 0

    def send(self, line):
        """Sends bytes."""
        self.socket.sendall(line)

    def replies(self):
        """Every reply from now on, until the timeout."""
        with contextlib.suppress(OSError):
            for line in self.file:
                yield json.loads(line)["reply"]

    def ask(self, what):
        """Sends a request, and gives all replies to it."""
        self.number += 1
        self.send(request(self.number, what))
        replies = []
        while True:
            line = self.file.readline()
            if not line:
                raise EOFError
            replies.append(json.loads(line)["reply"])
            if next(iter(replies[-1])) in ("done", "failed", "error", "peer", "live"):
                return replies

    def close(self):
        """Closes the connection."""
        self.file.close()
        self.socket.close()


# A site.


def address(number):
    """The address of the peer of this number, which the lab server answers for."""
    return f"INET 198.18.{number // 250}.{number % 250 + 1} 4070"


def watched(count, **keys):
    """The records of so many peers that are watched."""
    common = {"watch": "t", "every": "1s", "timeout": "2s", "retries": 2, **keys}
    return {f"p{number:05d}": {"peer": address(number), **common} for number in range(count)}


def rows(reply):
    """The rows in a reply to `status`: a bare list in versions before 2.0.0's last form."""
    peers = reply.get("peers", [])
    return peers["list"] if isinstance(peers, dict) else peers


class Site:
    """A lab server, a database and a service, in a directory that is removed at the end."""

    def __init__(self, peers, *, auto=True, options=(), lab_options=(), run=True):
        self.temporary = tempfile.TemporaryDirectory(prefix="attack", ignore_cleanup_errors=True)
        self.directory = self.temporary.name
        os.chmod(self.directory, 0o755)
        self.admin_socket = self.path("tripesock")
        self.runtime = self.path("tripesock.connect")
        self.control = f"{self.runtime}/control.sock"
        self.observe = f"{self.runtime}/observe.sock"
        self.helpers = f"{self.runtime}/helpers.sock"
        self.log = self.path("log")
        self.options = list(options)
        self.processes = []
        self.compile(peers, auto)
        reflect = ("--reflect", "198.18.0.0/15", "--reflect-delay", "5")
        arguments = ("-a", self.admin_socket, "-u", "127.0.0.1:0", *reflect, *lab_options)
        self.lab = self.start("tripe-lab", *arguments, log=self.path("lab.log"))
        if not within(10, lambda: self.admin("VERSION")):
            raise RuntimeError("no lab server")
        if run:
            self.run()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        stop(*reversed(self.processes))
        self.temporary.cleanup()

    def path(self, name):
        """The path of a file of the site."""
        return f"{self.directory}/{name}"

    def script(self, name, text):
        """Writes an executable script; gives its path."""
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\n{text}\n")
        os.chmod(self.path(name), 0o755)
        return self.path(name)

    def compile(self, peers, auto=True):
        """Compiles the database; `DIRECTORY` in a value stands for the site's directory."""
        with open(self.path("peers.in"), "w", encoding="utf-8") as file:
            for name, record in peers.items():
                lines = {"auto": "t" if auto else "nil", **record}
                file.write(f"[{name}]\n")
                for key, value in lines.items():
                    file.write(f"{key} = {value}\n".replace("DIRECTORY", self.directory))
        # Some of the records are wrong on purpose.
        options = ("--force", "-o", self.path("peers.cdb"))
        output = self.cli("db", "compile", *options, self.path("peers.in"))
        if output.returncode:
            raise RuntimeError(output.stdout + output.stderr)

    def start(self, name, *arguments, log):
        """Starts a program that ends with the site."""
        process = start(name, *arguments, log=log)
        self.processes.append(process)
        return process

    def core_options(self):
        """The options by which core finds everything."""
        return ("-a", self.admin_socket, "-d", self.directory, "-p", "peers.cdb")

    def run(self):
        """Starts the service, in `service`, and waits until it works."""
        options = (*self.core_options(), "--startup", "--allow-unsafe-scripts", *self.options)
        self.service = self.start("connect", *options, log=self.log)

        def works():
            state = self.status(5)[0]
            helpers = (state["pinger"], state["scripts"])
            return state["server"] == "up" and all(helper["connected"] for helper in helpers)

        if not within(30, works):
            raise RuntimeError(f"the service does not work: {file_text(self.log)[-1000:]}")

    def helper(self, role):
        """The process number of a helper, `pinger` or `scripts`."""
        return self.status()[0][role]["pid"]

    def cli(self, *words, timeout=60):
        """What `connect-cli` says of this site."""
        return subprocess.run(
            [f"{BIN}/connect-cli", *words],
            env={**ENVIRONMENT, "TRIPESOCK": self.admin_socket, "TRIPEDIR": self.directory},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
            check=False,
        )

    def admin(self, *commands, timeout=10):
        """What the lab server answers to commands."""
        connection = connect(self.admin_socket, timeout)
        answers = []
        with connection, connection.makefile("r", encoding="utf-8", errors="replace") as file:
            for command in commands:
                connection.sendall(command.encode() + b"\n")
                for line in file:
                    answers.append(line.rstrip("\n"))
                    if answers[-1] == "OK" or answers[-1].startswith("FAIL"):
                        break
        return answers

    def add(self, names):
        """Adds these peers at the server, in one go."""
        connection = connect(self.admin_socket, 120)
        lines = [f"ADD {name} {address(number)}\n" for number, name in enumerate(names)]

        def send():
            for line in lines:
                connection.sendall(line.encode())

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        with connection.makefile("rb") as file:
            answered = 0
            while answered < len(lines):
                answered += file.readline().startswith((b"OK", b"FAIL"))
        sender.join()
        connection.close()

    def status(self, timeout=30):
        """The state of the service, and of all peers."""
        client = Client(self.observe, timeout)
        replies = client.ask({"status": {}})
        client.close()
        service = next(reply["service"] for reply in replies if "service" in reply)
        return service, [peer for reply in replies for peer in rows(reply)]

    def status_time(self, timeout=60):
        """How many seconds a status takes; `timeout` if it does not come."""
        began = time.monotonic()
        with contextlib.suppress(OSError, EOFError, StopIteration):
            self.status(timeout)
            return time.monotonic() - began
        return float(timeout)


# The script helper alone.

EVERYBODY = 0xFFFFFFFF
# Tag, rights and user of each entry: the user nobody may write.
LIST = [
    (1, 7, EVERYBODY),
    (2, 7, NOBODY),
    (4, 5, EVERYBODY),
    (16, 7, EVERYBODY),
    (32, 5, EVERYBODY),
]


def let_nobody_write(path):
    """Lets the user nobody write to a file by an access control list; whether that can be done."""
    packed = b"".join(struct.pack("<HHI", *entry) for entry in LIST)
    try:
        os.setxattr(path, "system.posix_acl_access", struct.pack("<I", 2) + packed)
    except OSError as error:
        print("no access control lists here:", error)
        return False
    return True


@contextlib.contextmanager
def own_directory():
    """A directory that root alone may change. It is not below /tmp, where no script is trusted."""
    with tempfile.TemporaryDirectory(
        prefix="attack", dir="/var/lib", ignore_cleanup_errors=True
    ) as directory:
        os.chmod(directory, 0o755)
        yield directory


class ScriptHelper:
    """The script helper, run as root, by a script that is core for it."""

    def __init__(self, directory, path=None):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{directory}/helpers.sock")
        listener.listen(4)
        listener.settimeout(10)
        options = ("--socket", f"{directory}/helpers.sock")
        environment = {"PATH": path} if path else {}
        log = f"{directory}/log"
        self.process = start("connect-ifscripts", *options, log=log, environment=environment)
        self.connection, _ = listener.accept()
        self.connection.settimeout(30)
        self.file = self.connection.makefile("rb")
        self.connection.sendall(hello("core"))
        self.send({"ready": {}})
        self.number = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        stop(self.process)

    def send(self, message):
        self.connection.sendall(json.dumps(message).encode() + b"\n")

    def run(self, program):
        """Has a script run, and gives its end."""
        self.number += 1
        run = {"run": self.number, "peer": "x", "kind": "ifup", "environment": [], "limit": None}
        self.send({"run": [{**run, "command": {"exec": [program]}}]})
        while True:
            message = json.loads(self.file.readline())
            if "ended" in message:
                self.send({"settled": [self.number]})
                return message["ended"]["end"]


# The verdict.

failures = []


def wanted(what, holds, found=""):
    """Notes whether something that is wanted holds, and what was found."""
    print("ok  " if holds else "NOT ", what, f"({found})" if found != "" else "", flush=True)
    if not holds:
        failures.append(what)


def run(attack):
    """Runs a script's attack and ends with its verdict."""
    if not os.access(f"{BIN}/connect", os.X_OK):
        print(f"there are no programs in {BIN}; build them, or name their directory in BIN")
        sys.exit(2)
    try:
        attack()
    except Exception:
        traceback.print_exc()
        failures.append("the script ran to its end")
    print("FAIL: " + "; ".join(failures) if failures else "PASS")
    sys.exit(bool(failures))
