"""librabbitmq, through a small C program compiled here, and Debian's amqp-tools on top of it.

Skipped, with the reason, where compiler, library or tools are not installed.
"""

from __future__ import annotations

import shutil
import subprocess
import uuid
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S

_SOURCE = Path(__file__).with_name("judge.c")


def run(*words: str, stdin: bytes = b"", code: int = 0) -> bytes:
    """The output of a command that ends within ten seconds with this exit code."""
    done = subprocess.run(words, input=stdin, capture_output=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == code, done.stderr.decode()
    return done.stdout


def test_librabbitmq(address: tuple[str, int], tmp_path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    program = tmp_path / "judge"
    words = [compiler, "-o", str(program), str(_SOURCE), "-lrabbitmq"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"librabbitmq does not compile here: {done.stderr[:200]}")
    assert run(str(program), address[0], str(address[1])) == b"ok\n"


@pytest.fixture
def server(address: tuple[str, int]) -> list[str]:
    if shutil.which("amqp-publish") is None:
        pytest.skip("amqp-tools are not installed")
    return ["--server", address[0], "--port", str(address[1])]


def test_amqp_tools(server: list[str]) -> None:
    queue = f"tools-{uuid.uuid4()}"
    assert run("amqp-declare-queue", *server, "-q", queue) == f"{queue}\n".encode()
    run("amqp-publish", *server, "-r", queue, "-b", "first", "-p", "-C", "text/plain")
    run("amqp-publish", *server, "-r", queue, stdin=b"from stdin")
    assert run("amqp-get", *server, "-q", queue) == b"first"
    assert run("amqp-consume", *server, "-q", queue, "-c", "1", "cat") == b"from stdin"
    run("amqp-get", *server, "-q", queue, code=2)
    run("amqp-delete-queue", *server, "-q", queue)


def test_amqp_tools_bind_and_consume(server: list[str]) -> None:
    """A consumer with a queue of its own, bound to a builtin exchange."""
    words = ["amqp-consume", *server, "-e", "amq.topic", "-r", "tools.#", "-c", "2", "cat"]
    consumer = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert consumer.stderr is not None
        consumer.stderr.readline()  # "Server provided queue name: ..."
        deadline = 20
        while consumer.poll() is None and deadline:
            run("amqp-publish", *server, "-e", "amq.topic", "-r", "tools.a", "-b", "x")
            deadline -= 1
            try:
                consumer.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
        assert consumer.stdout is not None
        assert consumer.stdout.read() == b"xx"
    finally:
        if consumer.poll() is None:
            consumer.kill()
        consumer.communicate()
