"""The values of the configuration that the broker and its connections use.

Decides names, units and defaults. Never reads a file: `mqd.config` fills it in.
"""

from __future__ import annotations

from dataclasses import dataclass

from mqd import limits


@dataclass(frozen=True, slots=True)
class Settings:
    """0 means no limit unless said otherwise."""

    channel_max: int = limits.CHANNEL_MAX
    frame_bytes_max: int = limits.FRAME_BYTES_MAX
    heartbeat_s: int = limits.HEARTBEAT_S
    handshake_timeout_ms: int = limits.HANDSHAKE_TIMEOUT_MS
    message_bytes_max: int = limits.MESSAGE_BYTES_MAX
    connection_max: int = 0
    auth_mechanisms: tuple[str, ...] = ("PLAIN", "AMQPLAIN")
    cluster_name: str = ""  # empty: the node's name
    consumer_timeout_ms: int = 1_800_000
    events_vhost: str = "/"  # where rabbitmq_event_exchange has its exchange
    product: str = "RabbitMQ"  # clients look at it; the version likewise
    product_version: str = "3.10.8"
    read_bytes_max: int = limits.READ_BYTES_MAX
    queue_memory_messages_max: int = limits.QUEUE_MEMORY_MESSAGES_MAX
    queue_memory_bytes_max: int = limits.QUEUE_MEMORY_BYTES_MAX
