import httpx
import pytest

from shared.errors import Unavailable
from shared.ids import UserId
from shared.presence_http import HttpPresence


@pytest.mark.parametrize("body", [b"[]", b'{"\xff": {}}', b'{"alice": {"x":' + b"[" * 100_000])
async def test_whatever_cannot_be_read_is_an_outage(body: bytes) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body))
    async with httpx.AsyncClient(transport=transport, base_url="http://presence") as client:
        with pytest.raises(Unavailable):
            await HttpPresence(client).presence_of([UserId("alice")])
