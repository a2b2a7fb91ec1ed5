"""mqd.metadata.first_boot: a virgin node gets its vhost and user, no other does."""

from __future__ import annotations

from pathlib import Path

import pytest

from mqd.auth.passwords import fits
from mqd.auth.permissions import Permission
from mqd.metadata.commands import PutVhost, VhostRecord
from mqd.metadata.first_boot import Seeds, seed
from mqd.metadata.store import MetadataStore


@pytest.mark.asyncio
async def test_defaults(tmp_path: Path) -> None:
    store = MetadataStore.open(tmp_path / "m.db")
    assert await seed(store, Seeds())
    guest = store.state.users["guest"]
    assert fits(b"guest", guest.password_hash, guest.hashing_algorithm)
    assert guest.tags == ("administrator",)
    assert store.state.vhosts["/"].description == "Default virtual host"
    assert store.state.permission("guest", "/") == Permission(".*", ".*", ".*")
    assert not await seed(store, Seeds(user="other"))
    assert list(store.state.users) == ["guest"]
    await store.close()


@pytest.mark.asyncio
async def test_configured(tmp_path: Path) -> None:
    store = MetadataStore.open(tmp_path / "m.db")
    await seed(store, Seeds("qa", "joe", "pw", ("monitoring", "x"), ("a", "b", "c")))
    assert list(store.state.vhosts) == ["qa"]
    assert store.state.users["joe"].tags == ("monitoring", "x")
    assert store.state.permission("joe", "qa") == Permission("a", "b", "c")
    await store.close()


@pytest.mark.asyncio
async def test_a_node_with_a_vhost_is_left_alone(tmp_path: Path) -> None:
    store = MetadataStore.open(tmp_path / "m.db")
    await store.propose_async(PutVhost(VhostRecord("mine")))
    assert not await seed(store, Seeds())
    assert store.state.users == {}
    await store.close()
