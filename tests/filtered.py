"""Become a program under a systemd unit's filters: `python filtered.py UNIT PROGRAM ARGUMENT...`

What systemd would do of it as the unit's manager, where there is none: the system calls that SystemCallFilter leaves,
no memory that is written and run, no sockets but of the families that are named. By libseccomp, as systemd does it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_EQUAL, _MASKED = 4, 7
_WRITE, _EXECUTE = 2, 4
_LAST_FAMILY = 46


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


class Filter:
    """A filter of this process and all that it becomes and starts. `default`: what happens to what no rule names."""

    def __init__(self, default: int) -> None:
        self._library = ctypes.CDLL("libseccomp.so.2")
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._library.seccomp_init(ctypes.c_uint32(default)))

    def rule(self, action: int, call: str, *comparisons: _Comparison) -> None:
        number = self._library.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:  # others are of other machines
            compared = (_Comparison * len(comparisons))(*comparisons)
            added = self._library.seccomp_rule_add_array(
                self._context, ctypes.c_uint32(action), number, len(comparisons), compared
            )
            assert added == 0, call

    def load(self) -> None:
        assert self._library.seccomp_load(self._context) == 0


def settings_of(unit: str, name: str) -> list[str]:
    """The values that a unit gives this setting, in order."""
    return re.findall(rf"^{name}=(.*)$", unit, re.MULTILINE)


def _calls(group: str) -> Iterator[str]:
    told = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True)
    for line in told.stdout.splitlines()[1:]:
        name = line.strip()
        if name.startswith("@"):
            yield from _calls(name)
        elif name and not name.startswith("#"):
            yield name


def allowed(unit: str) -> set[str]:
    """The system calls that a unit's SystemCallFilter leaves: each line adds, or with ~ takes away. Some are always
    left."""
    left = set(_calls("@default"))
    for line in settings_of(unit, "SystemCallFilter"):
        named = {call for group in line.lstrip("~").split() for call in _calls(group)}
        left = left - named if line.startswith("~") else left | named
    return left


def _main() -> None:
    unit = Path(sys.argv[1]).read_text()
    families = {int(getattr(socket, name)) for name in settings_of(unit, "RestrictAddressFamilies")[0].split()}
    narrow = Filter(_ALLOW)
    for family in set(range(_LAST_FAMILY)) - families:
        narrow.rule(_ERRNO | errno.EAFNOSUPPORT, "socket", _Comparison(0, _EQUAL, family, 0))
    assert settings_of(unit, "MemoryDenyWriteExecute") == ["true"]
    both = _WRITE | _EXECUTE
    narrow.rule(_ERRNO | errno.EPERM, "mmap", _Comparison(2, _MASKED, both, both))
    narrow.rule(_ERRNO | errno.EPERM, "mprotect", _Comparison(2, _MASKED, _EXECUTE, _EXECUTE))
    known = Filter(_ERRNO | errno.EPERM)
    # The first is for this very line, the second systemd leaves, too: it does what is left after the filter.
    for call in allowed(unit) | {"execve", "seccomp"}:
        known.rule(_ALLOW, call)
    narrow.load()
    known.load()
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - what a service is started by is no shell, either


if __name__ == "__main__":
    _main()
