import msgspec
from hypothesis import given
from hypothesis import strategies as st

from shared.commands import SendMessage
from shared.envelope import Envelope, decode_batch, encode, join
from shared.ids import ConversationId, GatewayId, MessageId, UserId
from tests.fakes.clock import START


def envelope(name: str, content: str = "hi") -> Envelope:
    body = SendMessage(
        message_id=MessageId(name),
        conversation_id=ConversationId("room"),
        sender_id=UserId("alice"),
        sender_name="Alice",
        client_id=name,
        content=content,
        metadata=msgspec.Raw(b'{"n":1.0}'),
    )
    return Envelope(id=name, trace_id="t", occurred_at=START, body=body, reply_to=GatewayId("g"), attempt=2, error="e")


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=20), max_size=5))
def test_a_batch_reads_as_it_was_written(contents: list[str]) -> None:
    batch = [envelope(f"e{number}", content) for number, content in enumerate(contents)]
    read, bad = decode_batch(join([encode(one) for one in batch]))
    assert bad == []
    assert [encode(one) for one in read] == [encode(one) for one in batch]


@given(st.binary(max_size=60))
def test_no_body_makes_it_raise(body: bytes) -> None:
    _, bad = decode_batch(body)
    assert all(raw in body for raw, _ in bad)


def test_a_poisoned_part_does_not_take_its_neighbours_with_it() -> None:
    poison = [b"7", b'{"id": "x"}', b'{"id": "\xff"}', encode(envelope("z")).replace(b"SendMessage", b"Unheard")]
    read, bad = decode_batch(join([encode(envelope("a")), *poison, encode(envelope("b"))]))
    assert [one.id for one in read] == ["a", "b"]
    assert [raw for raw, _ in bad] == poison


def test_what_is_no_array_is_bad_as_a_whole() -> None:
    for body in (b"", b"\xff\xfe", b'[{"id":"\xff"}', b'{"id": "x"}', b"[1,", b"[" * 100_000):
        read, bad = decode_batch(body)
        assert read == []
        assert [raw for raw, _ in bad] == [body]


def test_an_envelope_of_another_version_is_bad_alone() -> None:
    other = encode(msgspec.structs.replace(envelope("new"), version=2))
    read, bad = decode_batch(join([other, encode(envelope("a"))]))
    assert [one.id for one in read] == ["a"]
    assert [raw for raw, _ in bad] == [other]
    assert "version 2" in bad[0][1].message
