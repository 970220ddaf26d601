"""The processes of a training, seen from outside."""

from __future__ import annotations

import os
from pathlib import Path

import psutil


def family(process):
    """All processes that descend from one, which may be gone."""
    try:
        return psutil.Process(process).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def servers(process=None):
    """The warm servers of a notebook's executors. They are detached, but know whom they wait for."""
    daemons = {str(one.pid) for one in family(process or os.getpid())}
    found = {}
    for one in psutil.process_iter():
        try:
            line = one.cmdline()
            ours = "nbkeras.worker.fork_server" in line and line[-1] in daemons
            above = {p.pid for p in one.parents()} if ours else set()
        except psutil.Error:
            continue  # it has ended
        if ours:
            found[one] = above
    return [one for one, above in found.items() if not above & {p.pid for p in found}]


def trainers(process=None):
    return [child for server in servers(process) for child in family(server.pid) if is_alive(child)]


def is_alive(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def daemons(process=None):
    """Of each executor, the process that starts Spark's Python workers."""
    forks = _forks(process)
    return [one for one in forks if _parent(one) not in {None, *(other.pid for other in forks)}]


def tasks(process=None):
    """The Python workers that run a training's Spark task: they hold its spools."""
    return [one for one in _forks(process) if unnamed_files(one)]


def _forks(process):
    """The daemons of Spark's Python workers, and the workers, which are forks of them."""
    return [one for one in family(process or os.getpid()) if is_alive(one) and "daemon" in _line(one)]


def _parent(process):
    try:
        return process.ppid()
    except psutil.Error:
        return None  # it has ended


def _line(process):
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def unnamed_files(process):
    """Files without a name that a process holds open, such as spools and logs."""
    held = set()
    for descriptor in Path(f"/proc/{process.pid}/fd").glob("*"):
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue  # closed meanwhile, or the process has ended
        if target.endswith("(deleted)") and not target.startswith("/dev"):
            held.add(target)
    return held


def ports(process):
    return {one.laddr.port for one in process.net_connections("inet") if one.status == psutil.CONN_LISTEN}
