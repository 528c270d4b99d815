"""Wait for services to say that they are ready."""

import asyncio

import httpx

ASK_EVERY_S = 0.1


async def until_ready(admin_port: int) -> None:
    """Wait, for ever if need be, until the service with this admin port answers /readyz with success."""
    async with httpx.AsyncClient(timeout=2.0) as client:
        while True:
            try:
                if (await client.get(f"http://127.0.0.1:{admin_port}/readyz")).is_success:
                    return
            except httpx.TransportError:
                pass  # it does not listen yet
            await asyncio.sleep(ASK_EVERY_S)
