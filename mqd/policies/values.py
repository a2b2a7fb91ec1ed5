"""Values that an argument of a queue and a policy's setting of the same name both may have.

Decides which words, and what an age is; RabbitMQ asks one question of x-max-age, of max-age and of
x-stream-offset (observed: 3.10.8, the same texts given to all three). How a wrong one is refused is
told where it came from: `broker.queue_arguments`, `policies.validation`.

What differs between the two stays there as data: a policy bounds no time from above (message-ttl,
expires), takes no negative delivery-limit, and takes a cluster size of zero; an argument is the
other way round.
"""

from __future__ import annotations

import re
from typing import Final

OVERFLOWS: Final = ("drop-head", "reject-publish", "reject-publish-dlx")
DEAD_LETTER_STRATEGIES: Final = ("at-most-once", "at-least-once")
QUEUE_MODES: Final = ("default", "lazy")
QUEUE_VERSIONS: Final = (1, 2)
LEADER_LOCATORS: Final = ("client-local", "balanced", "random", "least-leaders")
MASTER_LOCATORS: Final = ("client-local", "min-masters", "random")
SEGMENT_BYTES_MAX: Final = 3_000_000_000

_AGE: Final = re.compile(r"([0-9]+)([YMDhms])$")  # $: a line's end behind it is taken too
_AGE_UNIT_S: Final = {
    "Y": 365 * 86_400,
    "M": 30 * 86_400,
    "D": 86_400,
    "h": 3600,
    "m": 60,
    "s": 1,
}


def age_s(text: str) -> int | None:
    """Seconds of an age as "1h" writes it; None for what is none, and for no time at all."""
    match = _AGE.match(text)
    if match is None or int(match[1]) == 0:
        return None
    return int(match[1]) * _AGE_UNIT_S[match[2]]
