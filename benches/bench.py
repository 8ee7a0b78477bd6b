"""What the benches share: processes of their own, one answer checked before the load, CPU time."""

import contextlib
import http.client
import os
import resource
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from string import Template

VERSUS = Path(__file__).resolve().parent / "versus"
EQUIPOISE = os.environ.get("EQUIPOISE", str(Path(__file__).resolve().parents[1] / "target/release/equipoise"))
CORES = sorted(os.sched_getaffinity(0))
PATIENCE_SECONDS = 10
# Connections of the largest case, and as many to the origins.
MAX_CONNECTIONS = 20_000


class Failed(Exception):
    """Why the run says nothing."""


def other_cores(workers):
    """The cores that a proxy of so many workers leaves to origins and clients; all where none is left."""
    return ",".join(map(str, CORES[workers:] or CORES))


def own_cores(workers):
    return ",".join(map(str, CORES[:workers]))


def guarded(main):
    """Run it with every process ended at its end, and say in words why it failed."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    os.environ["PATH"] += ":/usr/sbin"
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        with tempfile.TemporaryDirectory(prefix="equipoise-bench-") as name:
            Path(name).chmod(0o755)  # started by root, nginx's workers are another user
            main(Path(name))
    except (Failed, subprocess.CalledProcessError) as why:
        sys.exit(f"the run failed: {why}")


def spread(values, digits):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


@contextlib.contextmanager
def running(folder, command, template, words, cores):
    """A process in a session of its own, by which its children are told. Its configuration is the template
    filled in, the last argument of the command."""
    state = Path(tempfile.mkdtemp(dir=folder))
    config, log = state / "config", state / "log"
    config.write_text(Template(template).substitute(words, state=state, max_conns=MAX_CONNECTIONS))
    with log.open("wb") as output:
        process = subprocess.Popen(["taskset", "-c", cores, *command, config], stdout=output,
                                   stderr=output, start_new_session=True)
    try:
        yield process
    except Failed as why:
        raise Failed(f"{why}\n{log.read_text()}") from None
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE_SECONDS)
        process.kill()
        process.wait()


def await_answer(process, folder, port, path, certificate=None):
    """Ask until there is an answer; it must be whole and right, and over TLS 1.3 if over TLS."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return check_answer(port, path, (folder / path[1:]).read_bytes(), certificate)
        except (OSError, http.client.HTTPException) as why:
            if time.monotonic() > give_up or process.poll() is not None:
                raise Failed(f"no answer from {process.args[3]}: {why}") from None
            time.sleep(0.02)


def check_answer(port, path, body, certificate):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    if certificate:
        trust = ssl.create_default_context(cafile=certificate)
        trust.minimum_version = ssl.TLSVersion.TLSv1_3
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=trust, timeout=PATIENCE_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        if answer.status != 200 or answer.read() != body:
            raise Failed(f"{path} was answered with {answer.status}, or another body")


def cpu_seconds(session):
    """User and system time of all processes of a session (proc(5): fields 6, 14 and 15)."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # another's process that has just ended
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
