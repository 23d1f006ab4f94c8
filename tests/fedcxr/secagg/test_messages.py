"""What the stages say as text: there and back, and what is none."""

import pytest

from fedcxr.errors import RunError
from fedcxr.secagg.messages import LONGEST, PublicKeys, StageOrder, StageReply, read_message

KEYS = PublicKeys(seal_public=b"\x01" * 32, mask_public=b"\xff" * 32, seed_commitment=bytes(32))


def test_messages_come_back_as_they_were():
    order = StageOrder(
        stage="share", session="s", circle=("b", "a"), advertised={"a": KEYS}, survivors=("a",)
    )
    reply = StageReply(stage="reveal", session="s", seeds={"a": b"\x80" * 66}, keys=KEYS)
    assert read_message(StageOrder, order.to_text()) == order
    assert read_message(StageReply, reply.to_text()) == reply
    assert "ff" * 32 in order.to_text()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"stage": "reveal", "session": "s", "seeds": {"a": "00"}}',
        '{"stage": "reveal", "session": "s", "more": 1}',
        '{"stage": "another", "session": "s"}',
    ],
)
def test_what_is_no_message_is_refused_without_its_words(text):
    with pytest.raises(RunError, match=r"^a message of secure aggregation has \d wrong fields$"):
        read_message(StageReply, text)


def test_a_message_longer_than_any_is_not_read():
    with pytest.raises(RunError, match="longer than it can be"):
        read_message(StageReply, " " * (LONGEST + 1))
