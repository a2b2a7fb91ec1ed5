"""Exit codes of the tools: sysexits, as RabbitMQ's use them."""

from __future__ import annotations

from typing import Final

OK: Final = 0
CRASH: Final = 1  # unknown formatter
USAGE: Final = 64
DATA: Final = 65
NO_USER: Final = 67
UNAVAILABLE: Final = 69
SOFTWARE: Final = 70
TEMPORARY_FAILURE: Final = 75
CONFIG: Final = 78
