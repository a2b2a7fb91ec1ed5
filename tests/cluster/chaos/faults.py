"""What is done to the cluster, and undone.

Decides what each fault is: how it begins, how long it lasts, how it ends. After a fault every node
runs again and every link is whole, or Trouble is raised. Blocks: called on a thread. Never judges.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.cluster.chaos.discs import Disc
from tests.cluster.chaos.whole import why_not_whole
from tests.cluster.trio import Member, Trio

_DISC_S = 30.0
_WHOLE_S = 90.0
ORDERS = tuple(itertools.permutations(range(3)))


class Trouble(Exception):
    """A node did not do what it was told, and will not be well by itself."""


@dataclass
class Faults:
    """Of one cluster. give_up(index): that node's classic queues are gone for good; quiet(): until
    nothing is on its way; loud(): publishers go on; give_up_copies(): what is in quorum queues now
    may be gone; queues: the quorum queues."""

    trio: Trio
    dice: random.Random
    disc: Disc | None
    give_up: Callable[[int], None]
    renew: Callable[[], None]
    quiet: Callable[[], None]
    loud: Callable[[], None]
    give_up_copies: Callable[[], None]
    queues: Sequence[str]
    orders: itertools.cycle[Sequence[int]] = field(default_factory=lambda: itertools.cycle(ORDERS))
    behind: set[int] = field(default_factory=set)  # members that the fault kept from the others

    def __post_init__(self) -> None:
        self.table: dict[str, Callable[[], str]] = {
            "kill": self._kill,
            "kill2": self._kill_two,
            "stop": self._stop,
            "hang": self._hang,
            "term": self._term,
            "full": self._full_stop,
            "churn": self._churn,
            "survivor": self._survivor,
            "hasty": self._hasty,
        }
        if self.disc:
            self.table["disc"] = self._disc
        if self.trio.lab:
            self.table |= {"cut": self._cut, "oneway": self._one_way, "slow": self._slow}

    # -- parts --------------------------------------------------------------------------------

    def _draw(self) -> Member:
        return self.dice.choice(self.trio.members)

    def _others(self, member: Member) -> list[Member]:
        return [one for one in self.trio.members if one is not member]

    def _last(self, least: float, most: float) -> None:
        time.sleep(self.dice.uniform(least, most))

    def _start(self, *members: Member) -> None:
        for member in members:
            if not member.alive:
                member.launch()
        for member in members:
            self._await(member)

    def _await(self, member: Member) -> None:
        try:
            member.await_up()
        except RuntimeError as error:
            raise Trouble(str(error)) from error

    def _kill_one(self, member: Member) -> None:
        member.kill(child_too=self.dice.random() < 0.5)

    # -- faults: each returns what it did -----------------------------------------------------

    def _kill(self) -> str:
        member = self._draw()
        self._kill_one(member)
        self._last(0.0, 3.0)
        self._start(member)
        return member.name

    def _kill_two(self) -> str:
        spared = self._draw()
        pair = self._others(spared)
        for member in pair:
            self._kill_one(member)
        self._last(0.0, 3.0)
        self._start(*pair)
        return f"all but {spared.name}"

    def _stop(self) -> str:
        member = self._draw()
        self.behind = {member.index}
        member.pause()
        try:
            self._last(0.5, 8.0)
        finally:
            member.resume()
        return member.name

    def _hang(self) -> str:
        """The daemon does nothing, while the server that it started goes on."""
        member = self._draw()
        member.pause(child_too=False)
        try:
            self._last(2.0, 12.0)
        finally:
            member.resume()
        return member.name

    def _term(self) -> str:
        member = self._draw()
        self._terminate(member)
        self._last(0.0, 2.0)
        self._start(member)
        return member.name

    def _terminate(self, member: Member) -> None:
        try:
            member.stop()
        except RuntimeError as error:
            raise Trouble(str(error)) from error

    def _full_stop(self) -> str:
        """All, one after the other or at once, in order or not; started in the next order."""
        order = [self.trio.members[at] for at in next(self.orders)]
        victims = self.dice.sample(self.trio.members, 3)
        how = self.dice.choice(("kill", "term", "term at once"))
        for member in victims:
            if how == "kill":
                self._kill_one(member)
            elif how == "term":
                self._terminate(member)
            else:
                member.terminate()
        for member in victims:
            self._terminate(member)
        for member in order:
            member.launch()
            self._last(0.0, 2.0)
        for member in order:
            self._await(member)
        names = [[one.index for one in each] for each in (victims, order)]
        return f"{how} {names[0]}, started {names[1]}"

    def _cut(self) -> str:
        assert self.trio.lab
        member = self._draw()
        others = self._others(member)
        if self.dice.random() < 0.5:
            others = others[:1]
            self.behind.add(others[0].index)
        self.behind.add(member.index)
        for other in others:
            self.trio.lab.do("cut", member.cell, other.cell)
        try:
            self._last(1.0, 10.0)
        finally:
            self.trio.lab.do("heal")
        return f"{member.name} from {[other.name for other in others]}"

    def _one_way(self) -> str:
        assert self.trio.lab
        one, other = self.dice.sample(self.trio.members, 2)
        self.behind = {one.index, other.index}
        self.trio.lab.do("cut", "--one-way", one.cell, other.cell)
        try:
            self._last(1.0, 10.0)
        finally:
            self.trio.lab.do("heal")
        return f"{one.name} to {other.name}"

    def _slow(self) -> str:
        assert self.trio.lab
        one, other = self.dice.sample(self.trio.members, 2)
        self.behind = {one.index, other.index}
        percent = self.dice.choice((5, 20, 40))
        self.trio.lab.do("lose", one.cell, other.cell, str(percent))
        try:
            self._last(2.0, 8.0)
        finally:
            self.trio.lab.do("heal")
        return f"{percent} % between {one.name} and {other.name}"

    def _disc(self) -> str:
        assert self.disc
        self.disc.take()
        try:
            self._last(2.0, 5.0)
        finally:
            self.disc.give_back()
        member = self.trio.members[self.disc.index]
        if not member.alive:
            self._start(member)
            return f"{member.name}, which died of it"
        try:
            member.await_up(_DISC_S)
        except RuntimeError:
            member.kill()
            self._start(member)
            return f"{member.name}, which was of no use until it was restarted"
        return member.name

    def _churn(self) -> str:
        """A node leaves, by itself or thrown out by another, and joins again under its name."""
        member = self._draw()
        other = self.dice.choice(self._others(member))
        forgotten = self.dice.random() < 0.5
        try:
            member.ctl("stop_app")
            if forgotten:
                other.ctl("forget_cluster_node", member.name)
            member.ctl("reset")
            self.give_up(member.index)
            member.ctl("join_cluster", other.name)
            member.ctl("start_app")
        except RuntimeError as error:
            raise Trouble(str(error)) from error
        self._await(member)
        self._grow(other, member)
        self.renew()
        return f"{member.name} {'forgotten by' if forgotten else 'reset, beside'} {other.name}"

    def _grow(self, at: Member, onto: Member) -> None:
        end = time.monotonic() + 60
        while True:
            done = at.run("rabbitmq-queues", "grow", onto.name, "all")
            if done.returncode == 0 and "error" not in done.stdout:
                return
            if time.monotonic() > end:
                raise Trouble(f"grow {onto.name}: {done.stdout}{done.stderr}")
            time.sleep(0.5)

    def _survivor(self) -> str:
        """A power cut takes all; one is forced up alone, and used; then the others come back. Only
        when each has everything: to force another one gives up what it has not got."""
        member = self._draw()
        self.quiet()
        whole_s = self._await_whole()
        self._go_on_from(member)
        return f"{member.name}, whole after {whole_s:.1f} s"

    def _hasty(self) -> str:
        """The same without a look: what the survivor has of quorum queues is all there is."""
        member = self._draw()
        self.quiet()
        self.give_up_copies()
        self._go_on_from(member)
        return member.name

    def _go_on_from(self, member: Member) -> None:
        for one in self.trio.members:
            one.kill()
        try:
            member.ctl("force_boot")
        except RuntimeError as error:
            raise Trouble(str(error)) from error
        self._start(member)
        self.loud()
        self._last(1.0, 3.0)
        self._start(*self._others(member))

    def _await_whole(self) -> float:
        began = time.monotonic()
        while why := why_not_whole(self.trio, self.queues):
            if time.monotonic() > began + _WHOLE_S:
                raise Trouble(f"copies are not whole after {_WHOLE_S:.0f} s: {why}")
        return time.monotonic() - began
