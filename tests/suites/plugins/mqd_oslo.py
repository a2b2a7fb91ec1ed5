"""Runs tests of oslo.messaging with other defaults than its own, named in MQD_OSLO_OPTIONS.

A list such as `rabbit_quorum_queue=true,amqp_durable_queues=true`: the tests make their
configuration themselves and read no file, so the defaults are what can be chosen for them.
"""

from __future__ import annotations

import os

import eventlet

eventlet.monkey_patch()

import mqd_unittest  # noqa: E402 (everything else is loaded after the patch)
from oslo_config import cfg  # noqa: E402
from oslo_messaging._drivers import amqp, impl_rabbit  # noqa: E402


def main() -> int:
    pairs = filter(None, os.environ.get("MQD_OSLO_OPTIONS", "").split(","))
    for name, _, text in (pair.partition("=") for pair in pairs):
        value = int(text) if text.isdigit() else text == "true"
        for options in (impl_rabbit.rabbit_opts, amqp.amqp_opts):
            if any(option.dest == name for option in options):
                cfg.set_defaults(options, **{name: value})
                break
        else:
            raise KeyError(name)
    return mqd_unittest.main()


if __name__ == "__main__":
    raise SystemExit(main())
