"""The folder that other people's tools are downloaded into: `layer`, and Ansible's environment.

Decides what is fetched and from where, and that it is kept for the next run. Nothing is installed
on the machine: packages are unpacked, and `host.sh` lays them over a host of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

PUPPET: Final = ("puppet-agent", "puppet-module-puppetlabs-rabbitmq")  # and what they depend on
ALONE: Final = ("resource-agents",)  # its dependencies are for other agents
ANSIBLE: Final = ("ansible-core==2.19.14", "requests")
COLLECTIONS: Final = "ansible==12.3.0"
COLLECTION: Final = "ansible_collections/community/rabbitmq/"


class Workshop:
    """Where everything is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.layer = folder / "layer"
        self.ansible = folder / "ansible"
        self.python = self.ansible / "bin" / "python"
        self._mark = folder / "ready"

    @property
    def ready(self) -> bool:
        wanted = repr((PUPPET, ALONE, ANSIBLE, COLLECTIONS))
        return self._mark.exists() and self._mark.read_text() == wanted

    def prepare(self) -> None:
        """Download and unpack. Raises CalledProcessError: apt-get or pip has said why."""
        if self.ready:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self._debian()
        self._pypi()
        self._mark.write_text(repr((PUPPET, ALONE, ANSIBLE, COLLECTIONS)))

    def _debian(self) -> None:
        archives = self.folder / "archives"
        (archives / "partial").mkdir(parents=True)
        kept = ("-o", f"Dir::Cache::archives={archives}")
        options = ("-qq", "-y", "--no-install-recommends", "--download-only")
        _run("apt-get", *kept, *options, "install", *PUPPET)
        _run("apt-get", "-qq", "download", *ALONE, folder=archives)
        for archive in sorted(archives.glob("*.deb")):
            _run("dpkg", "-x", str(archive), str(self.layer))

    def _pypi(self) -> None:
        wheels = self.folder / "wheels"
        _run(sys.executable, "-m", "venv", str(self.ansible))
        pip = (str(self.python), "-m", "pip", "-q", "--disable-pip-version-check")
        _run(*pip, "install", *ANSIBLE)
        _run(*pip, "download", "--no-deps", "-d", str(wheels), COLLECTIONS)
        (wheel,) = wheels.glob("*.whl")
        with zipfile.ZipFile(wheel) as opened:
            members = [name for name in opened.namelist() if name.startswith(COLLECTION)]
            opened.extractall(self.folder, members)


def _run(*words: str, folder: Path | None = None) -> None:
    subprocess.run(words, cwd=folder, check=True, timeout=600)


def cache_folder() -> Path:
    """Where downloads are kept: MQD_OPS_DIR, or a folder in the user's cache."""
    if chosen := os.environ.get("MQD_OPS_DIR"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "mqd-ops-tools"
