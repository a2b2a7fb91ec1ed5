"""What the plugins that come with mqd contribute: `mqd.plugins.table` points here."""

from __future__ import annotations

from typing import Final

from mqd.broker.event_exchange import EventExchange
from mqd.broker.exchanges.consistent_hash import ConsistentHashExchange
from mqd.broker.exchanges.delayed_message import DelayedMessageExchange
from mqd.broker.exchanges.modulus_hash import ModulusHashExchange
from mqd.broker.exchanges.random import RandomExchange
from mqd.broker.exchanges.recent_history import RecentHistoryExchange
from mqd.plugins.contribution import Contribution

CONSISTENT_HASH: Final = Contribution((ConsistentHashExchange,))
DELAYED_MESSAGE: Final = Contribution((DelayedMessageExchange,))
EVENT_EXCHANGE: Final = Contribution(services=(EventExchange,))
RANDOM: Final = Contribution((RandomExchange,))
RECENT_HISTORY: Final = Contribution((RecentHistoryExchange,))
SHARDING: Final = Contribution((ModulusHashExchange,))
