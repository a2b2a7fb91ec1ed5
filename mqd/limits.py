"""Every bound in the program, with its unit and the reason for its value.

Decides numbers only. A bound that an operator may change is a row in `mqd.config.schema`, whose
default is taken from here.
"""

from __future__ import annotations

from typing import Final

CHANNEL_MAX: Final = 2047  # RabbitMQ 3.10 default
FRAME_BYTES_MAX: Final = 131_072  # RabbitMQ 3.10 default, whole frame
FRAME_BYTES_MIN: Final = 4096  # AMQP 0-9-1 §2.3.5 frame-min-size
HEARTBEAT_S: Final = 60
HANDSHAKE_TIMEOUT_MS: Final = 10_000
MESSAGE_BYTES_MAX: Final = 134_217_728  # 3.10 default; hard cap 512 MiB
MESSAGE_BYTES_HARD_MAX: Final = 536_870_912
SHORTSTR_BYTES_MAX: Final = 255

READ_BYTES_MAX: Final = 131_072  # one read of one connection: bounds how long a turn can take
WRITE_HIGH_WATER_BYTES: Final = 1_048_576  # above it a consumer is offered nothing more
WRITE_LOW_WATER_BYTES: Final = 262_144

ROUTE_CACHE_ENTRIES_MAX: Final = 4096  # per channel: (exchange, routing key) pairs seen
QUEUE_MEMORY_MESSAGES_MAX: Final = 16_384  # per queue: beyond it the tail goes to disc pages
QUEUE_MEMORY_BYTES_MAX: Final = 16_777_216
PAGE_MESSAGES_MAX: Final = 4096  # one disc page of a queue's backlog
PAGE_BYTES_MAX: Final = 2_097_152
