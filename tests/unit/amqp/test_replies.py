"""`mqd.amqp.replies`: codes and the text on the wire."""

from __future__ import annotations

from mqd.amqp.replies import AmqpError, ChannelError, ConnectionError_, ReplyCode


def test_text_has_the_codes_name_in_front() -> None:
    error = ChannelError(ReplyCode.NOT_FOUND, "no queue 'q' in vhost '/'")
    assert error.reply_text == "NOT_FOUND - no queue 'q' in vhost '/'"
    assert str(error) == error.reply_text
    assert error.method is None


def test_an_internal_error_says_no_more() -> None:
    error = ConnectionError_(ReplyCode.INTERNAL_ERROR, "secrets of the house")
    assert error.reply_text == "INTERNAL_ERROR"


def test_a_long_text_is_cut() -> None:
    """observed: 3.10.8; a short string holds 255 bytes."""
    fits = AmqpError(ReplyCode.NOT_FOUND, "x" * (255 - len("NOT_FOUND - ")))
    assert len(fits.reply_text) == 255
    assert not fits.reply_text.endswith("...")
    cut = AmqpError(ReplyCode.NOT_FOUND, "x" * 300)
    assert len(cut.reply_text) == 255
    assert cut.reply_text.endswith("x...")


def test_a_cut_leaves_whole_characters() -> None:
    for pad in range(4):
        text = AmqpError(ReplyCode.NOT_FOUND, "x" * pad + "€" * 200).reply_text
        assert len(text.encode()) <= 255
        assert text.endswith("€...")


def test_bytes_that_are_no_text_count_as_they_are() -> None:
    error = AmqpError(ReplyCode.NOT_FOUND, "\udcff" * 10)
    assert len(error.reply_text) == len("NOT_FOUND - ") + 10
    assert len(AmqpError(ReplyCode.NOT_FOUND, "\udcff" * 300).reply_text) <= 255
