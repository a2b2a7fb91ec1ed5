"""The limits of this process that rabbitmq-env.conf sets with ulimit.

Decides how they are applied: a soft limit above the hard one is taken down to it, as systemd's
LimitNOFILE bounds it too. Never raises what the file did not name.
"""

from __future__ import annotations

import resource
from collections.abc import Mapping

from mqd.config.env_file import UNCHANGED, UNLIMITED

# as /proc/self/limits names them
_NAMES = {
    "open files": resource.RLIMIT_NOFILE,
    "core file size": resource.RLIMIT_CORE,
    "processes": resource.RLIMIT_NPROC,
    "locked memory": resource.RLIMIT_MEMLOCK,
    "stack size": resource.RLIMIT_STACK,
    "data size": resource.RLIMIT_DATA,
    "file size": resource.RLIMIT_FSIZE,
    "address space": resource.RLIMIT_AS,
    "cpu time": resource.RLIMIT_CPU,
}
OPEN_FILES = "open files"


def apply(wanted: Mapping[str, tuple[int, int, str]]) -> list[str]:
    """name -> (soft, hard, where it is said). Returns what could not be had as it was said."""
    warnings = []
    for name, (soft, hard, origin) in wanted.items():
        number = _NAMES.get(name)
        if number is None:
            warnings.append(f"{origin}: the limit of {name} is not applied")
            continue
        old_soft, old_hard = resource.getrlimit(number)
        new_hard = old_hard if hard == UNCHANGED else _lower(_known(hard), old_hard)
        new_soft = _lower(old_soft if soft == UNCHANGED else _known(soft), new_hard)
        if soft not in (UNCHANGED, UNLIMITED) and new_soft != soft:
            warnings.append(
                f"{origin}: the limit of {name} is {new_soft}, not {soft}: more is not allowed"
            )
        try:
            resource.setrlimit(number, (new_soft, new_hard))
        except (ValueError, OSError) as error:
            warnings.append(f"{origin}: the limit of {name} cannot be set: {error}")
    return warnings


def _known(amount: int) -> int:
    return resource.RLIM_INFINITY if amount == UNLIMITED else amount


def _lower(one: int, other: int) -> int:
    if resource.RLIM_INFINITY in (one, other):
        return other if one == resource.RLIM_INFINITY else one
    return min(one, other)
