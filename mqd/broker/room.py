"""How much of all backlogs together may be in memory: one budget for a node.

Theory. A backlog may keep one step without asking. To grow beyond what it was granted, its lease,
it asks for a larger one, some steps at a time, so that plain pushes ask nobody. The leases together
are what memory the backlogs can take at most, and are kept under the budget: when they reach it,
leases nobody uses are taken back first, then the backlogs that hold most put their messages on disc
pages. A backlog that is refused writes its tail out instead. So one backlog may have as much as its
own limits allow, and ten thousand of them share what there is.

Decides who gets how much. Never moves a message: the tenants do.
"""

from __future__ import annotations

import sys
from typing import Final, Protocol

from mqd import limits

_SHARES: Final = 40_000  # steps that fit the budget: so many backlogs need not ask for it all
_FULL, _ENOUGH = 0.75, 0.5  # of the budget: when tenants have to shed, and until when they do


class Tenant(Protocol):
    """A backlog. lease_bytes belongs to the room once the tenant has asked for the first time."""

    lease_bytes: int

    @property
    def resident_bytes(self) -> int:
        """About what it takes now."""

    def shed(self) -> None:
        """Put on disc what can be."""


class Room:
    """See the file's charter. total_bytes may be changed at run time with `resize`."""

    __slots__ = ("_leased_bytes", "_patience", "_tenants", "step_bytes", "total_bytes")

    def __init__(self, total_bytes: int = sys.maxsize) -> None:
        self.total_bytes = 0
        self.step_bytes = 0
        self._tenants: set[Tenant] = set()
        self._leased_bytes = 0
        self._patience = 0  # refusals until it is tried again to find room where there was none
        self.resize(total_bytes)

    @property
    def leased_bytes(self) -> int:
        """What all tenants may take without asking again."""
        return self._leased_bytes

    def resize(self, total_bytes: int) -> None:
        """Another budget, from now on."""
        self.total_bytes = total_bytes
        step_bytes = total_bytes // _SHARES
        self.step_bytes = min(max(step_bytes, limits.ROOM_STEP_BYTES_MIN), limits.PAGE_BYTES_MAX)
        if self._leased_bytes > total_bytes:
            self._make_room(None)

    def lease(self, tenant: Tenant, wanted_bytes: int, *, must: bool = False) -> bool:
        """Let a tenant have so many bytes in all. must: it has them already, or cannot do without;
        then others make room."""
        extra = self._extra(tenant, wanted_bytes)
        if extra > 0 and self._leased_bytes + extra > self.total_bytes:
            if self._patience:
                self._patience -= 1
            else:
                self._make_room(tenant)
                extra = self._extra(tenant, wanted_bytes)
            if not must and self._leased_bytes + extra > self.total_bytes:
                return False
        if extra > 0:
            self._tenants.add(tenant)
            self._leased_bytes += extra
            tenant.lease_bytes = wanted_bytes
        return True

    def _extra(self, tenant: Tenant, wanted_bytes: int) -> int:
        """Beyond what is counted: what a tenant has before it asks is not."""
        return wanted_bytes - (tenant.lease_bytes if tenant in self._tenants else 0)

    def leave(self, tenant: Tenant) -> None:
        """The tenant is empty."""
        if tenant in self._tenants:
            self._tenants.remove(tenant)
            self._leased_bytes -= tenant.lease_bytes
            tenant.lease_bytes = self.step_bytes

    def _make_room(self, asking: Tenant | None) -> None:
        """Take back what is not used; have the largest shed if that is not enough."""
        for tenant in list(self._tenants):
            self._fit(tenant)
        if self._leased_bytes > self.total_bytes * _FULL:
            enough = self.total_bytes * _ENOUGH
            largest = sorted(self._tenants, key=lambda one: one.lease_bytes, reverse=True)
            for tenant in largest:
                if self._leased_bytes <= enough:
                    break
                if tenant is not asking:
                    tenant.shed()
                    self._fit(tenant)
        if self._leased_bytes > self.total_bytes * _FULL:
            self._patience = len(self._tenants)

    def _fit(self, tenant: Tenant) -> None:
        """Its lease is what it uses, also where that is more: messages that came back asked
        nobody. One that uses a step or less is no tenant any more."""
        used_bytes = tenant.resident_bytes
        if used_bytes <= self.step_bytes:
            self.leave(tenant)
        else:
            self._leased_bytes += used_bytes - tenant.lease_bytes
            tenant.lease_bytes = used_bytes
