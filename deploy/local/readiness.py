"""Wait for services to say that they are ready."""

import asyncio

import httpx

ASK_EVERY_S = 0.1


async def until_ready(port: int, path: str = "/readyz") -> None:
    """Wait, for ever if need be, until what listens on a port, a service's admin port, answers a GET with success."""
    async with httpx.AsyncClient(timeout=2.0) as client:
        while True:
            try:
                if (await client.get(f"http://127.0.0.1:{port}{path}")).is_success:
                    return
            except httpx.TransportError:
                pass  # it does not listen yet
            await asyncio.sleep(ASK_EVERY_S)
