"""What the flutter wire makes of anything at all: it returns what is asked for, or raises its own error."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.dialects.base import BadFrame, Caller, Reply, Request
from gateway.dialects.flutter import FlutterDialect
from gateway.dialects.flutter_errands import Errands
from gateway.dialects.flutter_frames import Page
from gateway.dialects.flutter_reading import Asked
from gateway.dialects.flutter_writing import message_view
from shared.errors import NotFound
from shared.history_api import MessagePage
from shared.ids import DeviceId, direct_conversation_id
from tests.fakes.clock import START
from tests.fakes.messages import ALICE, BOB, message
from tests.fakes.world import FakeWorld

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent.parent / "vectors/flutter/receive.json").read_text())
KNOWN = [vector["message"] for vector in VECTORS.values() if isinstance(vector.get("message"), dict)]
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["room", "bob", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def dialect(*, opened: bool, max_frame_bytes: int = 4096) -> FlutterDialect:
    flutter = FlutterDialect(new_id=lambda: "new-id", now=lambda: START, max_frame_bytes=max_frame_bytes)
    if opened:
        flutter.opened(Caller(ALICE, "Alice", DeviceId("phone")))
    return flutter


def check(frame: str, *, opened: bool = True) -> None:
    """Decode a packet: wishes and replies, or an error that the wire has words for."""
    flutter = dialect(opened=opened)
    try:
        made = flutter.receive(frame)
    except BadFrame as bad:
        [said, *_] = flutter.refuse(bad.error.body(), reply_to=bad.reply_to)
        name, text = json.loads(said[1:])
        refusal = json.loads(text)
        assert name == "message"
        assert 1001 <= refusal["code"] <= 1500
        assert refusal["msg"]
        return
    for item in made:
        assert isinstance(item, Request | Reply)


@given(frame=st.text(max_size=60) | st.text(max_size=60).map(lambda text: f'2["message",{text}]'), opened=st.booleans())
def test_any_text_is_a_packet_or_a_bad_one(*, frame: str, opened: bool) -> None:
    if not frame.startswith("0"):  # of those the gateway's own words
        check(frame, opened=opened)


@given(
    event=st.just("message") | st.text(max_size=10), data=ANYTHING, ack=st.sampled_from(["", "7", "9" * 20]), string=...
)
def test_any_json_is_a_message_or_a_bad_one(*, event: str, data: Any, ack: str, string: bool) -> None:
    check(f"2{ack}" + json.dumps([event, json.dumps(data) if string else data]))


@given(known=st.sampled_from(KNOWN), seed=st.integers(0, 2**32), value=ANYTHING, opened=st.booleans())
def test_a_message_with_anything_anywhere_is_one_or_a_bad_one(
    *, known: dict[str, Any], seed: int, value: Any, opened: bool
) -> None:
    said = spoilt(copy.deepcopy(known), random.Random(seed), value)
    check("2" + json.dumps(["message", json.dumps(said)]), opened=opened)


def spoilt(said: dict[str, Any], choice: random.Random, value: Any) -> dict[str, Any]:
    """Put a value in the place of another, somewhere."""
    place = said
    while True:
        key = choice.choice(sorted(place))
        inner = place[key]
        if not isinstance(inner, dict) or not inner or choice.random() < 0.3:
            place[key] = value
            return said
        place = inner


@pytest.mark.parametrize(
    "text",
    [
        "[" * 50_000,
        '{"type":"ping","payload":' + "[" * 50_000,
        '{"type":"ping","payload":' + "[" * 20_000 + "]" * 20_000 + "}",
        '{"type":"ping","msg_id":' + "9" * 5000 + "}",
        '{"type":"' + "x" * 5000 + '"}',
        '{"type":"chat","to_id":"bob\\n","content":"hi"}',
        '{"type":"chat","to_id":"../bob","content":"hi"}',
        '{"type":"chat","to_id":-5,"content":"hi"}',
        '{"type":"chat","to_id":1e300,"content":"hi"}',
        '{"type":"cs_gcds","payload":{"tid":"bob","before":99999999999999999999}}',
    ],
)
def test_a_hostile_message_is_merely_a_bad_one(text: str) -> None:
    for frame in ("2" + json.dumps(["message", text]), f'2["message",{text}]'):
        with pytest.raises(BadFrame):
            dialect(opened=True, max_frame_bytes=10**6).receive(frame)
        check(frame)


def test_a_message_over_the_limit_is_refused_by_its_id() -> None:
    said = {"type": "chat", "to_id": "bob", "content": "x" * 5000, "msg_id": "m"}
    with pytest.raises(BadFrame) as bad:
        dialect(opened=True).receive("2" + json.dumps(["message", json.dumps(said)]))
    assert (bad.value.error.code, bad.value.reply_to) == ("too_large", '["chat","m",null]')


@pytest.mark.parametrize("content", ["x" * 16_384, "\x01" * 16_384, '"' * 16_384, "\\" * 16_384, "😀" * 4096])
def test_content_of_sixteen_kibibytes_passes_however_it_is_escaped(content: str) -> None:
    said = {"type": "chat", "to_id": "bob", "content": content, "msg_id": "m"}
    [made] = dialect(opened=True, max_frame_bytes=128 * 1024).receive("2" + json.dumps(["message", json.dumps(said)]))
    assert isinstance(made, Request)


@given(metadata=ANYTHING)
def test_any_metadata_is_shown(metadata: Any) -> None:
    try:
        text = json.dumps({"flutter": metadata}, allow_nan=False).encode()
    except ValueError:
        return
    shown = message_view(replace(message(1, content="hi"), metadata=msgspec.Raw(text)), "bob")
    assert shown.content == "hi"


async def test_the_page_before_is_asked_for_without_a_search() -> None:
    world = FakeWorld(ALICE)
    oldest = replace(
        message(5, room=direct_conversation_id(ALICE, BOB)),
        metadata=msgspec.Raw(b'{"flutter":{"mType":-1}}'),
        client_id="6f3c1e00e2c511eb8d1900505612ab34",
    )
    world.history.page = MessagePage(messages=(oldest,), watermarks=(), has_more=True)
    errands = Errands(lambda: START, lambda: "new-id")
    await errands.page(Page(tid="bob", cType=1, limit=1), Asked(type="cs_gcds"), world)
    world.history.page = MessagePage(messages=(), watermarks=(), has_more=False)
    before = Page(tid="bob", cType=1, limit=1, before=oldest.client_id)
    assert await errands.page(before, Asked(type="cs_gcds"), world)
    with pytest.raises(NotFound):
        await Errands(lambda: START, lambda: "new-id").page(before, Asked(type="cs_gcds"), world)
