"""What is answered to who sends over the huddle wire's REST API, with history played by the test."""

import asyncio

from shared.clock import rfc3339
from shared.commands import SendMessage
from shared.events import Stored
from shared.ids import message_number
from tests.fakes.clock import START
from tests.fakes.edge import gateway
from tests.fakes.messages import BOB, ROOM, conversation
from tests.fakes.rest import caller


async def test_a_stored_message_is_answered_with_though_nobody_answers_questions_any_more() -> None:
    async with gateway() as edge, caller(edge) as http, asyncio.TaskGroup() as tasks:
        edge.history.known = {ROOM: conversation(0)}
        asking = tasks.create_task(http.post("/api/v1/messages", json={"channel_id": ROOM, "content": "hi"}))
        [envelope] = await edge.posted()
        command = envelope.body
        assert isinstance(command, SendMessage)
        edge.history.down = edge.presence.down = True  # a refusal now would have the client send it again
        stored = Stored(
            message_id=command.message_id,
            conversation_id=ROOM,
            client_id=command.client_id,
            seq=1,
            version=1,
            number=message_number(7, 1),
            created_at=START,
        )
        await edge.tell(stored, answer_to=envelope.id)
        answer = await asking
    shown = answer.json()
    assert (answer.status_code, shown["id"], shown["channel_id"]) == (201, message_number(7, 1), 7)
    assert (shown["content"], shown["author_id"], shown["created_at"]) == ("hi", BOB, rfc3339(START))
