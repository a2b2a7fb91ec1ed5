"""The catalogue is complete in itself: every verb can be shown, parsed and called."""

from __future__ import annotations

import string

import pytest

from mqctl import catalogue
from mqctl.help import SECTIONS, base_usage, verb_usage
from mqctl.output.printing import FORMATTERS
from mqctl.verbs.registry import OVERRIDES, behaviour_class
from mqd.errors import ErrorCode
from mqd.rpc.v1 import index, values_pb2

SCOPES = (
    catalogue.CTL,
    catalogue.DIAG,
    catalogue.PLUG,
    catalogue.QUE,
    catalogue.STR,
    catalogue.UPG,
)
VERBS = [(name, scope) for scope in SCOPES for name in catalogue.names(scope, of_plugins=True)]


def find(name: str, scope: int) -> catalogue.Verb:
    verb = catalogue.find(name, scope, of_plugins=True)
    assert verb is not None
    return verb


@pytest.mark.parametrize(("name", "scope"), VERBS)
def test_every_verb_can_be_shown(name: str, scope: int) -> None:
    verb = find(name, scope)
    assert verb.name == name
    assert verb.spec.help, "a verb without help"
    assert not verb.spec.help.endswith(".")
    assert verb.spec.section in SECTIONS
    assert verb.needs in (catalogue.NONE, catalogue.VM, catalogue.APP, catalogue.STOPPED)
    assert (verb.spec.formatter or "string") in FORMATTERS
    assert name in base_usage(verb, "mqctl")
    assert verb.spec.help in verb_usage(verb, "mqctl")


@pytest.mark.parametrize(("name", "scope"), VERBS)
def test_arguments_explain_themselves(name: str, scope: int) -> None:
    for argument in find(name, scope).arguments:
        if not (argument.spec.vhost or argument.spec.columns):
            assert argument.spec.help, argument.field


@pytest.mark.parametrize(("name", "scope"), VERBS)
def test_default_columns_exist(name: str, scope: int) -> None:
    verb = find(name, scope)
    if verb.streams:
        assert set(verb.default_columns) <= set(verb.columns)


@pytest.mark.parametrize(("name", "scope"), VERBS)
def test_templates_name_known_fields(name: str, scope: int) -> None:
    verb = find(name, scope)
    given = {"node", "vhost", "timeout", "timeout_ms", "timeout_whole", "detail"}
    given |= {field.name for field in verb.method.input_type.fields}
    overridden = {
        "on_exchange",
        "conditions",
        "which",
        "whose",
        "limit",
        "family",
        "where",
        "warning",
    }
    overridden |= {"shown", "source", "pairs"}
    texts = [verb.spec.banner, *(rule.text for rule in verb.spec.errors)]
    for text in texts:
        named = {name for _, name, _, _ in string.Formatter().parse(text) if name}
        assert named <= given | overridden, text
        assert not (named & overridden) or verb.name in OVERRIDES


def test_one_rpc_has_one_need() -> None:
    needs: dict[str, set[int]] = {}
    for name, scope in VERBS:
        verb = find(name, scope)
        needs.setdefault(verb.path, set()).add(verb.needs)
    assert {path for path, found in needs.items() if len(found) > 1} == set()


def test_overrides_are_verbs_with_a_class() -> None:
    for name in OVERRIDES:
        assert name in index.VERBS, name
        assert behaviour_class(name, catalogue.CTL).__name__ == OVERRIDES[name][1]


def test_error_codes_equal_the_daemons() -> None:
    theirs = {code.name: int(code) for code in ErrorCode}
    ours = dict(values_pb2.ErrorCode.items())
    ours.pop("ERROR_CODE_UNSPECIFIED")
    assert ours == theirs


def test_a_verb_lives_in_its_scopes_only() -> None:
    assert catalogue.find("is_running", catalogue.CTL) is None
    assert catalogue.find("is_running", catalogue.DIAG) is not None
    assert catalogue.find("version", catalogue.QUE) is None
    assert catalogue.find("help", catalogue.STR) is not None  # as in 4.0, unlike 3.10.8
