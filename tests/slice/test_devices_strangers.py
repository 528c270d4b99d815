"""A device that is not in a session sees nothing of it and does nothing in it."""

import json

from shared.ids import UserId
from tests.slice import devices_town
from tests.slice.devices_town import Devices, made_group

devices = devices_town.devices


async def test_nobody_sees_or_enters_the_sessions_of_others(devices: Devices) -> None:
    ann = await devices.connect("phone-ann")
    sent = await ann.send_message("phone-ben", "secret")
    room = await made_group(devices.warren, "phone-ben")
    eve = devices.app("phone-eve")
    direct = devices.warren.direct("phone-ann", "phone-ben")
    number = str((await devices.warren.history_queries.conversation(UserId("phone-ben"), direct)).number)
    for session in ("phone-ann_phone-ben", direct, number, room, "nothing"):
        answers = [
            await devices.call(eve, "POST", "/api/messages/list", {"session_id": session}),
            await devices.call(eve, "POST", "/api/messages/send", {"session_id": session, "content": "x"}),
            await devices.call(eve, "DELETE", f"/api/messages/sessions/{session}"),
        ]
        assert all(answer.status_code in (403, 404) for answer in answers), session
        assert not any("secret" in answer.text for answer in answers)
    page = {"device_id": "phone-ann", "before_id": sent["message_id"]}
    assert (await devices.call(eve, "POST", "/api/messages/list", page)).status_code == 404
    assert await eve.get_sessions() == []
    to_room = {"recipient_id": room, "content": "hi"}
    assert (await devices.call(eve, "POST", "/api/messages/send", to_room)).status_code == 403
    eve.connect()
    eve.send_typing_indicator(direct, is_typing=True)
    await devices.rest(eve)
    assert ann.typing == []


async def test_what_is_others_is_refused_in_words(devices: Devices) -> None:
    ann, ben = await devices.connect("phone-ann"), await devices.connect("phone-ben")
    cat = await devices.connect("phone-cat")
    sent = await ann.send_message("phone-ben", "for ben alone")
    await devices.rest(ann, ben)
    for socket, frame in (
        (cat.socket, {"type": "typing", "session_id": "phone-ann_phone-ben", "is_typing": True}),
        (cat.socket, {"type": "read_receipt", "message_ids": [sent["message_id"]]}),
        (ann.socket, {"type": "read_receipt", "message_ids": [sent["message_id"]]}),
    ):
        assert socket is not None
        socket.send_text(json.dumps(frame))
    await devices.rest(ann, ben, cat)
    assert [error["code"] for error in cat.errors] == ["not_found", "not_found"]
    assert [error["code"] for error in ann.errors] == ["forbidden"]
    assert ann.receipts == [(sent["message_id"], "delivered")]
    assert ben.typing == []
