"""The socket's transport: uvicorn's, with a heartbeat that closes silent clients by a code that says to reconnect."""

import asyncio

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from gateway.disconnects import Disconnect

MAX_UNREAD_BYTES = 64 * 1024  # of a client that pings and does not read
CLOSE_PATIENCE_S = 5.0  # for the close frame to be read; then the connection is cut


class HeartbeatProtocol(WebSocketsSansIOProtocol):
    """uvicorn pings; whatever the client sends counts as an answer."""

    heard = False

    def data_received(self, data: bytes) -> None:
        """Take bytes of the client, and note that it lives; behind a frame that broke the protocol they go nowhere."""
        self.heard = True
        if self.conn.parser_exc is None:
            super().data_received(data)

    def send_keepalive_ping(self) -> None:
        """Ping, and listen from here."""
        self.heard = False
        super().send_keepalive_ping()

    def handle_ping(self) -> None:
        """Answer a ping, unless too much waits to be read already; a later one will do (RFC 6455 §5.5.3)."""
        pong = b"".join(self.conn.data_to_send())
        if not self.close_sent and self.transport.get_write_buffer_size() <= MAX_UNREAD_BYTES:
            self.transport.write(pong)

    def keepalive_timeout(self) -> None:
        """Close a client that has said nothing since the ping; one that we do not read from is not to blame."""
        self.pong_timer = None
        self.pending_ping_payload = None
        if self.heard or self.read_paused:
            self.schedule_ping()
        elif not self.close_sent and not self.transport.is_closing():
            self.conn.send_close(Disconnect.HEARTBEAT.code, Disconnect.HEARTBEAT.reason)
            self._end(Disconnect.HEARTBEAT.code, Disconnect.HEARTBEAT.reason)

    def handle_parser_exception(self) -> None:
        """Close on a frame that breaks RFC 6455 or the size limit."""
        close = self.conn.close_sent
        assert close is not None  # websockets has refused the frame
        self._end(close.code, close.reason)

    def _end(self, code: int, reason: str) -> None:
        """Send what says why, and read on until the client has gone: closing over unread bytes would reset the
        connection, and the client could lose the close frame (RFC 9293 §3.10.4, RFC 6455 §7.1.1)."""
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.close_sent = True
        self.disconnected = True  # sends raise ClientDisconnected, and those that wait for room wake up
        self.writable.set()
        self.close_timer = self.loop.call_later(CLOSE_PATIENCE_S, self._cut)

    def _cut(self) -> None:
        if self in self.connections:  # else it has gone by itself
            self.transport.abort()

    async def run_asgi(self) -> None:
        """Serve, then cut the connection of a client that does not read what is left."""
        await super().run_asgi()
        self.loop.call_later(self.close_timeout, self._cut)


PROTOCOL: type[asyncio.Protocol] = HeartbeatProtocol
