"""Who writes a shard: the rules by which two writers never mix, and nothing is lost or doubled.

Decides what is appended next and what became of what was appended. Never calls the engine: `log`
does, and tells the outcome. No clock, no I/O.

Theory (measured: reference/engine.md §5). Every append names its own predecessor, so a log takes
the appends of one writer as a chain: what landed of them is always a prefix. Up to `window` of
them are under way at a time. A writer begins with an epoch batch, one entry more than anybody's
window: whatever an older writer has under way names a predecessor inside that batch or before it,
and can never match again. One entry would not do: the old writer's second append predicts exactly
the sequence that it fills.

An append whose outcome is unknown, or that was refused, ends the phase WRITING. Then the log is
read from the first append without an answer to the log's end (CHECKING). What is found there of
ours has landed; an epoch of somebody else means that we have lost. Then an epoch batch of our own
follows, right behind the last entry that was read (FENCING): once it is in, nothing that was under
way can land any more, so what was found is confirmed and what was not is sent again. When the
batch is refused the log has grown meanwhile: read on.

That a copy may lag does no harm: the batch goes in only when what was read last is the log's last
entry. So the last entry of a log must never be purged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from mqd.cluster.ports import Entry
from mqd.cluster.shards import records
from mqd.cluster.shards.records import Epoch

WINDOW: Final = 64
EPOCHS: Final = "epoch"  # the subject of epoch records, behind the log's name


class Phase(Enum):
    """See the file's charter. LOST is for good: who wants to write again makes another writer."""

    CHECKING = "checking"
    FENCING = "fencing"
    WRITING = "writing"
    LOST = "lost"


@dataclass(slots=True, eq=False)
class Frame:
    """What is to be appended. landed(sequence) is called once it is permanent, in order."""

    subject: str
    sections: Sequence[bytes]
    landed: Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Append:
    """To be appended right behind `after`, in the order in which they are handed out."""

    epoch: int
    after: int
    frame: Frame


class Writer:
    """See the file's charter.

    name: of this writer and no other ever, also not of an earlier one of this process.
    position: the sequence of the last entry that was read or written.
    """

    def __init__(self, log: str, name: str, window: int = WINDOW) -> None:
        self.phase = Phase.CHECKING
        self.epoch = 0
        self.position = 0
        self.first_of_epoch = 0  # the sequence of the first record of our last epoch batch
        self.loser_to: str | None = None  # who wrote the epoch that we lost to
        self._log = log
        self.name = name
        self.window = window
        self._begun = False
        self._highest = 0  # epoch that was read
        self._theirs = window  # the widest window that was read
        self._waiting: deque[Frame] = deque()
        self._flying: deque[tuple[int, Frame]] = deque()  # the sequence it gets, if it lands
        self._found = 0  # of those flying: how many were read

    # -- in -----------------------------------------------------------------------------------

    def offer(self, frame: Frame) -> None:
        """Append it when there is room, after all that was offered before."""
        self._waiting.append(frame)

    @property
    def room(self) -> int:
        """How many frames would be sent at once."""
        if self.phase is not Phase.WRITING:
            return 0
        return max(self.window - len(self._flying) - len(self._waiting), 0)

    @property
    def pending(self) -> int:
        """Frames that are not known to be permanent."""
        return len(self._flying) + len(self._waiting)

    def abandoned(self) -> list[Frame]:
        """Of a writer that has lost: what did not land, or is not known to have."""
        assert self.phase is Phase.LOST
        return [*(frame for _, frame in self._flying), *self._waiting]

    # -- writing ------------------------------------------------------------------------------

    def appends(self) -> list[Append]:
        """What to append now."""
        out: list[Append] = []
        if self.phase is Phase.WRITING:
            while self._waiting and len(self._flying) < self.window:
                frame = self._waiting.popleft()
                out.append(Append(self.epoch, self.position, frame))
                self.position += 1
                self._flying.append((self.position, frame))
        return out

    def appended(self, append: Append) -> None:
        """It is permanent, and so are those before it."""
        if append.epoch != self.epoch or self.phase is not Phase.WRITING:
            return  # the log is being read, which tells as well
        while self._flying and self._flying[0][0] <= append.after + 1:
            seq, frame = self._flying.popleft()
            frame.landed(seq)

    def failed(self, append: Append) -> None:
        """It was refused, or nobody knows."""
        if append.epoch == self.epoch and self.phase is Phase.WRITING:
            self._check()

    def _check(self) -> None:
        self.phase = Phase.CHECKING
        self._found = 0
        if self._flying:
            self.position = self._flying[0][0] - 1

    def doubt(self) -> None:
        """Somebody else may be writing: look before going on."""
        if self.phase is Phase.WRITING:
            self._check()

    # -- checking -----------------------------------------------------------------------------

    def read(self, entry: Entry) -> None:
        """The next entry behind `position`. Raises Damaged, and counts it as read all the same."""
        self.position = entry.seq
        epoch = records.epoch_of(entry.data)
        if entry.subject == f"{self._log}.{EPOCHS}":
            opens = records.read(entry.data).opens
            assert opens is not None
            self._theirs = max(self._theirs, opens.window)
            self._highest = max(self._highest, epoch)
            if self._begun and epoch > self.epoch and opens.writer != self.name:
                self.loser_to = opens.writer
                self._lose()
        elif epoch == self.epoch and self._found < len(self._flying):
            if self._flying[self._found][0] == entry.seq:
                self._found += 1

    def skip(self, last_seq: int) -> None:
        """There is nothing behind `position`, and the next entry comes behind that number."""
        self.position = max(self.position, last_seq)

    def _lose(self) -> None:
        self._confirm_found()
        self.phase = Phase.LOST

    def resign(self) -> None:
        """Write no more, whatever is found."""
        if self.phase is not Phase.LOST:
            self._lose()

    def reached(self, last_seq: int) -> bool:
        """last_seq: of the log's last entry, as far as the engine knows. True: all of it is read,
        and `batch` is to be appended."""
        if self.phase is Phase.CHECKING and self.position >= last_seq:
            self.phase = Phase.FENCING
        return self.phase is Phase.FENCING

    # -- fencing ------------------------------------------------------------------------------

    @property
    def epoch_subject(self) -> str:
        return f"{self._log}.{EPOCHS}"

    def batch(self) -> list[bytes]:
        """The epoch batch, all or none of which goes right behind `position`."""
        assert self.phase is Phase.FENCING
        epoch = Epoch(self.name, self.window)
        number = max(self._highest, self.epoch) + 1
        return [
            records.seal(number, [records.epoch_section(epoch, place)])
            for place in range(self._theirs + 1)
        ]

    def fenced(self, last_seq: int) -> None:
        """It is in; last_seq: of its last entry."""
        if self.phase is not Phase.FENCING:
            return
        self._confirm_found()
        self._waiting.extendleft(frame for _, frame in reversed(self._flying))
        self._flying.clear()
        self.epoch = self._highest = max(self._highest, self.epoch) + 1
        self.first_of_epoch = self.position + 1
        self.position = last_seq
        self._begun = True
        self.phase = Phase.WRITING

    def not_fenced(self) -> None:
        """It was refused, or nobody knows: read on from where we are."""
        if self.phase is Phase.FENCING:
            self.phase = Phase.CHECKING

    def _confirm_found(self) -> None:
        found, self._found = self._found, 0
        for _ in range(found):
            seq, frame = self._flying.popleft()
            frame.landed(seq)
