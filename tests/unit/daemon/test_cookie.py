"""The cookie file, as the Erlang VM makes and wants it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mqd.daemon.cookie import read_or_create
from mqd.errors import MqdError


def test_a_cookie_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "home" / ".erlang.cookie"
    cookie = read_or_create(path)
    assert re.fullmatch("[A-Z]{20}", cookie)
    assert path.stat().st_mode & 0o777 == 0o400
    assert read_or_create(path) == cookie


def test_a_trailing_newline_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / ".erlang.cookie"
    path.write_text("SECRET\n")
    assert read_or_create(path) == "SECRET"


def test_a_file_others_may_read_is_put_right(tmp_path: Path) -> None:
    path = tmp_path / ".erlang.cookie"
    path.write_text("SECRET")
    path.chmod(0o644)
    assert read_or_create(path) == "SECRET"
    assert path.stat().st_mode & 0o777 == 0o400


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / ".erlang.cookie"
    path.write_text("\n")
    with pytest.raises(MqdError, match="is empty: remove it"):
        read_or_create(path)


def test_a_place_where_none_can_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MqdError, match=r"cookie file .* cannot be"):
        read_or_create(tmp_path / "file" / ".erlang.cookie")
