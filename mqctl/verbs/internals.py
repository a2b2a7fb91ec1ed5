"""Verbs on a node's inside that differ from the common behaviour."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mqctl import exit_codes
from mqctl.behaviour import Behaviour
from mqctl.failures import Failure, Invalid, error
from mqctl.output.results import Result, Silence, Value


class MetadataStoreCheck(Behaviour):
    """Exit 69 until the store is there, and with data where that is asked for."""

    def output(self, message: Any) -> Result:
        """In one sentence."""
        ready = message.initialized
        with_data = self.verb.name.endswith("_with_data")
        if with_data:
            ready = ready and message.has_data
        done = "has completed its initialisation" + " and holds data" * with_data
        text = f"Metadata store on node {self.invocation.node} "
        text += done if ready else "reports to not yet have finished initialisation"
        if self.invocation.is_json:
            body = {"result": "ok" if ready else "error", "message": text}
            if ready:
                return Value(body)
            from mqctl.output.json import encode

            raise Failure(exit_codes.UNAVAILABLE, encode(body))
        if not ready:
            raise error(text)
        return Silence() if self.options.get("silent") else Value(text)


class DeprecatedFeatures(Behaviour):
    """All of them, or those that are used."""

    def banner(self) -> str:
        """Both wordings."""
        which = "in use " if self.invocation.request.used else ""
        return self.invocation.fill(self.verb.spec.banner, {"which": which})


class CheckDeprecatedFeatures(Behaviour):
    """Exit 69 when one is used."""

    def check_arity(self) -> None:
        """Its rpc's columns are no arguments of this verb."""
        if self.invocation.arguments:
            raise Invalid("too many arguments.")

    def build_request(self) -> Any:
        """Those that are used."""
        return self.verb.request_class(used=True, columns=["name"])

    def rows(self, messages: Iterable[Any]) -> Result:
        """Names them."""
        names = [row.name for batch in messages for row in batch.rows]
        passed = "Cluster reported no deprecated features in use"
        failed = "Cluster reported some deprecated features in use"
        if self.invocation.is_json:
            body = {
                "result": "error" if names else "ok",
                "features": names,
                "message": failed if names else passed,
            }
            if not names:
                return Value(body)
            from mqctl.output.json import encode

            raise Failure(exit_codes.UNAVAILABLE, encode(body))
        if names:
            raise error("\n".join([f"{failed}:", *names]))
        return Silence() if self.options.get("silent") else Value(passed)


class SetInterceptorPriorities(Behaviour):
    """Pairs of a name and a number."""

    def check_arity(self) -> None:
        """One pair at least, each complete."""
        words = self.invocation.arguments
        if len(words) < 2 or len(words) % 2:
            raise Invalid("not enough arguments.")
        for word in words[1::2]:
            if not word.removeprefix("-").isdigit():
                raise Invalid(f"\"priority '{word}' is not an integer.\"")

    def banner(self) -> str:
        """name=priority."""
        words = self.invocation.arguments
        pairs = zip(words[::2], words[1::2], strict=True)
        listed = ", ".join(f"{name}={priority}" for name, priority in pairs)
        return self.invocation.fill(self.verb.spec.banner, {"pairs": listed})


class MatchingPolicies(Behaviour):
    """Of a queue or of an exchange."""

    def validate(self) -> None:
        """Nothing else has policies."""
        super().validate()
        kind = self.invocation.request.object_type
        if kind not in ("queue", "exchange"):
            raise Invalid(f"\"object type '{kind}' is not supported: use queue or exchange.\"")


class UpdateVhostMetadata(Behaviour):
    """Something has to be changed."""

    def check_arity(self) -> None:
        """One option at least."""
        super().check_arity()
        if not self.verb.switches.keys() & self.options.keys():
            raise Invalid("not enough arguments.")
