"""Generated files match proto/ (make proto)."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[3]
GENERATED = ROOT / "mqd/rpc/v1"


def load_make_index() -> object:
    spec = importlib.util.spec_from_file_location("make_index", ROOT / "proto/make_index.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_index_matches_the_descriptors() -> None:
    module = load_make_index()
    assert (GENERATED / "index.py").read_text() == module.source()  # type: ignore[attr-defined]


@pytest.mark.slow
def test_messages_match_the_proto_files(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools is in the dev extra")
    protos = sorted((ROOT / "proto/mqd/rpc/v1").glob("*.proto"))
    outs = [f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}"]
    argv = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT}/proto", *outs, *map(str, protos)]
    subprocess.run(argv, check=True, timeout=PATIENCE_S, cwd=ROOT)
    for fresh in sorted((tmp_path / "mqd/rpc/v1").glob("*.py")):
        assert fresh.read_text() == (GENERATED / fresh.name).read_text(), (
            f"{fresh.name}: make proto"
        )
    names = {fresh.name for fresh in (tmp_path / "mqd/rpc/v1").glob("*.py")}
    present = {path.name for path in GENERATED.glob("*_pb2*.py")}
    assert present == names, "generated files without a proto file"
