"""What the flutter wire refuses: in its own words, and without harm."""

import json
from typing import Any

from tests.slice import flutter_app
from tests.slice.flutter_app import App
from tests.slice.test_conversations import room
from tests.slice.warren import Warren

warren, jack, rose = flutter_app.warren, flutter_app.jack, flutter_app.rose


async def test_another_conversation_stays_shut(warren: Warren, jack: App) -> None:
    ann = await warren.connect("ann")
    group = await room(warren, "ann", "rose")
    direct = warren.direct("ann", "rose")
    names: list[dict[str, object]] = [
        {"tid": group, "cType": 2},
        {"session_id": group},
        {"tid": group},
        {"tid": direct},
    ]
    for n, name in enumerate(names):
        for type_ in ("cs_cp2p", "cs_gcds", "cs_ain"):
            answer = await jack.ask(type_, f"{type_}{n}", content="x", **name)
            assert answer["code"] in (1003, 1004), (type_, name, answer)
    ann_hears = [frame for frame in ann.unread_frames() if frame["type"] == "message"]
    assert ann_hears == []


BAD: list[str | dict[str, Any]] = [
    "",
    "{",
    "[1]",
    "null",
    "5",
    '"text"',
    {},
    {"type": None},
    {"type": 5, "msg_id": "q"},
    {"type": "cs_gift", "msg_id": "q"},
    {"type": "cs_cp2p", "msg_id": "q"},
    {"type": "cs_cp2p", "msg_id": "q", "payload": None},
    {"type": "cs_cp2p", "msg_id": "q", "payload": {"tid": "rose"}},
    {"type": "cs_cp2p", "msg_id": "q", "payload": {"tid": "rose", "cd": {"data": {"text": ""}, "mType": -1}}},
    {"type": "chat", "msg_id": "q", "payload": {"to_id": "rose", "content": ""}},
    {"type": "cs_cp2p", "msg_id": "q", "payload": {"tid": ["rose"], "content": "x"}},
    {"type": "cs_cp2p", "msg_id": "q", "payload": {"tid": "rose", "content": {"x": 1}}},
    {"type": "cs_cp2p", "msg_id": "q", "payload": {"tid": "rose", "cd": {"data": {"text": "x", "attrs": []}}}},
    {"type": "cs_cp2p", "msg_id": "q", "payload": {"tid": "rose", "cd": {"data": {"text": "x"}, "mType": "-1"}}},
    {"type": "cs_cp2p", "msg_id": "q", "payload": {"tid": "rose", "cType": 1, "content": "x" * 16_385}},
    {"type": "cs_cp2p", "msg_id": "q", "payload": {"tid": "rose", "cType": 1, "content": "x" * 200_000}},
    {"type": "cs_cp2p", "msg_id": "q", "payload": {"tid": "rose", "content": "x", "from_id": "ann"}},
    {"type": "cs_cp2p", "msg_id": {"a": 1}, "payload": {"tid": "rose", "content": "x"}},
    {"type": "cs_gcds", "msg_id": "q", "payload": {"tid": "rose", "limit": "30"}},
    {"type": "cs_gcds", "msg_id": "q", "payload": {"limit": 30}},
    {"type": "cs_ain", "msg_id": "q", "payload": {}},
    {"type": "cs_alv", "msg_id": "q", "payload": {"session_id": 99}},
    {"type": "typing", "msg_id": "q", "payload": {"tid": "rose"}},
    {"type": "enter", "msg_id": "q", "payload": {"token": 5}},
    {"type": "enter", "msg_id": "q", "payload": {"token": "another"}},
]


async def test_bad_input_is_answered_and_the_connection_stays_usable(jack: App) -> None:
    for n, bad in enumerate(BAD):
        before = len(jack.manager.heard)
        jack.socket.emit("message", bad if isinstance(bad, str) else json.dumps(bad))
        await jack.pump()
        [refusal] = jack.manager.heard[before:]
        assert 1001 <= refusal["code"] <= 1004, bad
        assert refusal["msg"], bad
        if isinstance(bad, dict) and bad.get("msg_id") == "q":
            assert refusal["msg_id"] == "q"
        assert (await jack.ask("cs_ain", f"after-{n}", tid="rose", cType=1))["code"] == 1000
