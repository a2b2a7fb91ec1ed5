"""What the node was told: configuration, certificates, plugins."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote
from typing import Any

from mqctl.doctor.findings import ERROR, WARNING, Check, Finding, Seen
from mqctl.doctor.words import day

CERTIFICATE_SOON_MS = 30 * 86_400_000


def configuration(facts: Any, seen: Seen) -> Iterator[Finding]:
    """It can be read, and everything in it counts."""
    found = facts.configuration
    for problem in found.problems:
        yield Finding(
            ERROR,
            problem,
            "the next start fails" if seen.answered else "the node does not start",
            _edit(problem),
        )
    for warning in found.warnings:
        yield Finding(WARNING, warning, "it is not used as it was meant", "mqd --check")
    for note in found.notes:
        yield Finding(
            WARNING,
            f"{note.what} has no effect ({note.origin})",
            note.reason or "nobody reads it",
            _drop(note),
        )


def _edit(place: str) -> str:
    """place: begins with file:line."""
    file, _, rest = place.partition(":")
    line = rest.partition(":")[0]
    if not file.startswith("/"):
        return "mqd --check"
    at = f"+{line} " if line.isdigit() else ""
    return f"${{EDITOR:-vi}} {at}{quote(file)} && mqd --check"


def _drop(note: Any) -> str:
    """A line of `key = value` can be made a comment; what has more to a line is for an editor."""
    file, _, line = note.origin.rpartition(":")
    if not (file.startswith("/") and line.isdigit()):
        return f"unset {note.what}" if note.what.startswith("RABBITMQ_") else "mqd --check"
    if file.endswith(".conf") and not file.endswith("env.conf"):
        return f"sed -i '{line}s/^/# /' {quote(file)} && mqd --check"
    return _edit(note.origin)


def configuration_says(facts: Any, seen: Seen) -> str:
    files = facts.configuration.files
    return f"{', '.join(files)} can be read" if files else "no file: everything has its default"


def certificates(facts: Any, seen: Seen) -> Iterator[Finding]:
    """Those that the configuration names."""
    for found in facts.certificates:
        what, path = f"{found.key}, {found.path}", quote(found.path)
        idle = bool(found.without_effect)  # a warning at most: nothing waits for it
        if found.trouble:
            yield Finding(
                WARNING if idle else ERROR,
                f"{what}: {found.trouble}",
                "TLS cannot be offered with it",
                f"ls -l {path}; openssl x509 -noout -subject -dates -in {path}"
                if found.kind != "key"
                else f"ls -l {path}; openssl pkey -noout -check -in {path}",
            )
        elif found.until_ms and found.until_ms < facts.clock.now_ms:
            yield Finding(
                WARNING if idle else ERROR,
                f"{what}: is over since {day(found.until_ms)} ({found.subject})",
                "peers that look refuse the connection",
                f"openssl x509 -noout -subject -issuer -enddate -in {path}",
            )
        elif found.until_ms and found.until_ms < facts.clock.now_ms + CERTIFICATE_SOON_MS:
            yield Finding(
                WARNING,
                f"{what}: ends on {day(found.until_ms)} ({found.subject})",
                "peers that look refuse the connection from then on",
                f"openssl x509 -noout -subject -issuer -enddate -in {path}",
            )
        elif found.from_ms > facts.clock.now_ms:
            yield Finding(
                WARNING if idle else ERROR,
                f"{what}: is not valid before {day(found.from_ms)} ({found.subject})",
                "peers that look refuse the connection until then; or the clock is wrong",
                f"openssl x509 -noout -subject -issuer -dates -in {path}",
            )
        if found.kind == "key" and found.is_open:
            yield Finding(
                WARNING,
                f"{what}: everybody on this machine may read the key",
                "whoever has it can pass for the node",
                f"chmod o-r {path}",
            )


def certificates_say(facts: Any, seen: Seen) -> str:
    return ", ".join(f"{found.key} is valid" for found in facts.certificates)


def plugins(facts: Any, seen: Seen) -> Iterator[Finding]:
    """What the file says is what runs."""
    found = facts.plugins
    file = quote(found.file)
    if found.trouble:
        yield Finding(
            ERROR,
            found.trouble,
            "the node starts no plugin",
            f"mq-plugins set --offline  # writes {found.file} anew, with the plugins that follow",
        )
    for trouble in found.troubles:
        yield Finding(
            WARNING,
            f"the plugin {trouble.name} of {found.file} is not started: {trouble.reason}",
            "what relies on it does not work",
            f"mq-plugins -n {quote(facts.node)} disable {quote(trouble.name)}",
        )
    if not seen.answered or facts.app != "running" or found.trouble:
        return
    late = sorted(set(found.wanted) - set(found.running))
    over = sorted(set(found.running) - set(found.wanted))
    if late:
        yield Finding(
            WARNING,
            f"{', '.join(late)}: in {found.file}, but not running",
            "the file was changed while the node did not hear of it",
            f"mq-plugins -n {quote(facts.node)} enable {' '.join(map(quote, late))}",
        )
    if over:
        yield Finding(
            WARNING,
            f"{', '.join(over)}: running, but not in {found.file}",
            "after a restart it will not run",
            f"mq-plugins -n {quote(facts.node)} enable {' '.join(map(quote, over))}  "
            f"# or disable; both write {file}",
        )


def plugins_say(facts: Any, seen: Seen) -> str:
    found = facts.plugins
    if not found.file:
        return ""
    return ", ".join(found.wanted) or "none enabled"


CHECKS = (
    Check("configuration", configuration, configuration_says),
    Check("certificates", certificates, certificates_say),
    Check("plugins", plugins, plugins_say),
)
