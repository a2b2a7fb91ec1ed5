"""Requests that other nodes make of this one, being answered.

Decides how many at a time, and what the other side hears when an answer fails: an MqdError as it
is, anything else as one, with a traceback in the log of this node only if it is ours to mend.
Never decides what the answer is. Holds the tasks; `close` ends them.
"""

from __future__ import annotations

import asyncio
import logging

from mqd import limits
from mqd.cluster.links.wire import Link
from mqd.cluster.ports import Answer, PeerDown
from mqd.errors import ErrorCode, MqdError

log = logging.getLogger("mqd.cluster.links")


class Calls:
    """Of all links of a node. answerers: by service."""

    def __init__(self, node: str) -> None:
        self.answerers: dict[str, Answer] = {}
        self._node = node
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, link: Link, service: str, call: int, payload: bytes) -> None:
        """Answer it some time. A link that ends meanwhile does not stop what was begun."""
        answer = self.answerers.get(service)
        if answer is None:
            text = f"node {self._node} does not answer '{service}'"
            link.reply(call, MqdError(ErrorCode.UNAVAILABLE, text))
            return
        if link.calls_served >= limits.LINK_CALLS_MAX:
            text = f"node {self._node} answers {limits.LINK_CALLS_MAX} requests of yours already"
            link.reply(call, MqdError(ErrorCode.LIMIT_EXCEEDED, text))
            return
        link.calls_served += 1
        serve = self._serve(link, service, answer, call, payload)
        task = asyncio.get_running_loop().create_task(serve)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Cancel what is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(
        self, link: Link, service: str, answer: Answer, call: int, payload: bytes
    ) -> None:
        outcome: bytes | MqdError
        try:
            outcome = await answer(link.node, payload)
        except MqdError as error:
            outcome = error
        except PeerDown as error:
            text = f"node {error} is not linked to {self._node}"
            outcome = MqdError(ErrorCode.UNAVAILABLE, text)
        except TimeoutError:
            outcome = MqdError(ErrorCode.TIMEOUT, f"node {self._node} waited in vain")
        except Exception:
            log.exception("request of node %s to service '%s' failed", link.node, service)
            text = f"node {self._node} failed to carry this out; its log says why"
            outcome = MqdError(ErrorCode.INTERNAL, text)
        finally:
            link.calls_served -= 1
        link.reply(call, outcome)
