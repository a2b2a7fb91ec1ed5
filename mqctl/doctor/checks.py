"""All checks of mqctl doctor, in the order they are told.

Theory. A check is pure over the facts (proto/mqd/rpc/v1/doctor.proto), so that every case can be
tested with a message made up for it. Each module beside this one ends with the table of its checks:
a new one is a function there and a row.
"""

from __future__ import annotations

from mqctl.doctor import of_files, of_machine, of_node, of_settings
from mqctl.doctor.findings import Check

CHECKS: tuple[Check, ...] = (
    *of_node.CHECKS,
    *of_settings.CHECKS,
    *of_machine.CHECKS,
    *of_files.CHECKS,
)
