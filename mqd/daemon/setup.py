"""What this process was told: variables, files, paths, settings, in the order they need each other.

Decides that order only. Reads the configuration and nothing else; makes no file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from mqd.config.load import Configuration, load
from mqd.config.parse import ConfigError
from mqd.config.settings import NodeSettings, node_settings
from mqd.config.variables import Variables
from mqd.control.clustering import Clustering, clustering
from mqd.daemon import paths as places
from mqd.daemon.logs import Outputs, outputs
from mqd.daemon.paths import NodePaths
from mqd.daemon.systemd import Notifier


@dataclass(frozen=True, slots=True)
class Setup:
    """All of it."""

    variables: Variables
    paths: NodePaths
    configuration: Configuration
    settings: NodeSettings
    logs: Outputs
    notifier: Notifier
    clustering: Clustering


def read_setup(environ: Mapping[str, str]) -> Setup:
    """Raises ConfigError with every problem."""
    variables = Variables(environ)
    base = places.bases(environ, os.geteuid())
    places.apply_environment_file(variables, base)
    paths = places.resolve(variables, base, environ)
    configuration = load(paths.config_files, variables)
    settings = node_settings(configuration)
    _check_expression(configuration)
    logs = outputs(
        settings.log,
        paths.log_base,
        paths.node,
        variables.text("LOGS"),
        variables.text("LOG"),
    )
    port = clustering(
        variables.get("DIST_PORT"), variables.get("NODE_PORT"), settings.distribution_interface
    )
    return Setup(variables, paths, configuration, settings, logs, Notifier(environ), port)


def _check_expression(configuration: Configuration) -> None:
    """One that cannot be compiled would refuse every password."""
    setting = configuration.set.get("credential_validator.regexp")
    if setting is None:
        return
    from mqd.auth.patterns import InvalidPattern, compile_pattern

    try:
        compile_pattern(str(setting.value))
    except InvalidPattern as error:
        raise ConfigError(
            [f"{setting.origin}: {setting.name} = {setting.value}: {error.reason}"]
        ) from error
