"""encode and decode, as 3.10.8 answers (each observed)."""

from __future__ import annotations

import pytest

from tests.unit.mqctl import fake_node

WRITTEN = '{encrypted,<<"KEEk1M8LiUVwIn8CxI1bmh8jpdGptxDdRfKJAwsHcX86euDBmagNA4VDxo0hACLr">>}'
FAILED = (
    "Error:\nFailed to decrypt the value. Things to check: is the passphrase correct? Are the "
    "cipher and hash algorithms the same as those used for encryption?\n"
)


def call(*argv: str) -> tuple[int, str, str]:
    done = fake_node.call(*argv)
    return done.code, done.out, done.err


def test_what_3_10_8_has_written_is_read() -> None:
    assert call("decode", WRITTEN, "pass") == (0, 'Decrypting value...\n<<"guest">>\n', "")
    code, out, _ = call("decode", WRITTEN, "pass", "--formatter", "json")
    assert code == 0
    assert out.endswith('"result":"ok","value":"guest"}\n')


@pytest.mark.parametrize("value", [WRITTEN, "abc", "{encrypted,", '{encrypted,"x"}'])
def test_what_cannot_be_read_is_refused(value: str) -> None:
    assert call("decode", value, "wrong") == (69, "Decrypting value...\n", FAILED)


@pytest.mark.parametrize("term", ['<<"guest">>', "foo", '{a,"b",[1],#{x => 1.5},-70000}', "[1,2]"])
@pytest.mark.parametrize("switches", [[], ["--cipher", "aes_256_ctr", "--hash", "sha512"]])
def test_there_and_back(term: str, switches: list[str]) -> None:
    code, out, _ = call("encode", "-q", *switches, term, "p")
    assert code == 0
    assert out.startswith('{encrypted,<<"')
    assert call("decode", "-q", *switches, out.strip(), "p") == (0, f"{term}\n", "")


@pytest.mark.parametrize("term", ["{a,", "X", "", "{a,b}."])
def test_what_is_no_term_is_refused(term: str) -> None:
    said = "Error:\nError during cipher operation\n"
    assert call("encode", term, "p") == (69, "Encrypting value ...\n", said)


@pytest.mark.parametrize(
    ("argv", "code", "detail"),
    [
        (["encode", "a", "b", "c"], 64, "too many arguments."),
        (
            ["decode"],
            64,
            "not enough arguments: Please provide a value to decode and a passphrase",
        ),
        (["encode", "--cipher", "no"], 65, "Bad argument: The requested cipher is not supported."),
        (["decode", "--cipher", "no", "a"], 65, "The requested cipher is not supported"),
        (["encode", "--hash", "no", "a"], 65, "The requested hash is not supported"),
        (["encode", "--iterations", "0", "a"], 65, "number of iterations is incorrect"),
        (["decode", "--iterations", "0", "a"], 65, "incorrect (must be a positive integer)"),
    ],
)
def test_bad_arguments(argv: list[str], code: int, detail: str) -> None:
    found, out, err = call(*argv)
    assert (found, out) == (code, "")
    assert detail in err.splitlines()[0]


def test_missing_words_are_asked_for() -> None:
    done = fake_node.call("encode", stdin="foo\nsecret\n")
    lines = done.out.splitlines()
    assert (done.code, lines[1:3]) == (0, ["Value to encode: ", "Passphrase: "])
    assert call("decode", "-q", lines[3], "secret") == (0, "foo\n", "")
    assert call("encode", "a") == (
        69,
        "Encrypting value ...\nPassphrase: \n",
        "Error:\nnot_enough_args\n",
    )


def test_texts_for_rabbitmq_conf() -> None:
    code, out, _ = call("encrypt_conf_value", "-q", "s3cret", "p")
    assert code == 0
    assert out.startswith("encrypted:")
    assert call("decrypt_conf_value", "-q", out.strip(), "p") == (0, '<<"s3cret">>\n', "")
