"""The native socket in AsyncAPI's words: every frame both ways, what answers what, errors, close codes."""

from collections.abc import Mapping
from inspect import cleandoc
from typing import get_args

import msgspec

from gateway.dialects import native_frames as frames
from gateway.dialects import native_views as views
from gateway.disconnects import Disconnect
from gateway.views import AcceptedView, ChangedView, MessagesView, PresencesView, PresenceView, StoredView
from shared.errors import ErrorBody, ErrorCode
from shared.json_schemas import Schema, one_of, reference

CHANNEL = "socket"
_CHANNEL = {"$ref": f"#/channels/{CHANNEL}"}
_TIME = {"type": "string", "format": "date-time"}

CLIENT_FRAMES: Mapping[str, type[msgspec.Struct]] = {
    str(frame.__struct_config__.tag): frame for frame in get_args(frames.ClientFrame)
}
# The data of the reply to a frame with an id. Empty: an object of nothing. None: whatever was asked.
REPLIES: Mapping[str, tuple[type[msgspec.Struct], ...] | None] = {
    "hello": (views.WelcomeView,),
    "send": (StoredView, AcceptedView),
    "edit": (ChangedView,),
    "delete": (ChangedView,),
    "react": (ChangedView,),
    "ack": (),
    "typing": (),
    "presence": (),
    "subscribe": (PresencesView,),
    "unsubscribe": (PresencesView,),
    "sync": (views.SyncView,),
    "history": (MessagesView,),
    "ping": None,
}
# The data of what the server says unasked.
SERVER_FRAMES: Mapping[str, type[msgspec.Struct] | None] = {
    "welcome": views.WelcomeView,
    **{str(event.__struct_config__.tag): event.__annotations__["data"] for event in get_args(views.EventView)},
    "receipt": views.ReceiptView,
    "typing": views.TypingView,
    "presence": PresenceView,
    "notification": views.NotificationView,
    "lagged": views.LaggedView,
    "pong": None,
    "bye": views.ByeView,
}


def structs() -> list[type[msgspec.Struct]]:
    """Name the structs that the frames are made of."""
    data = [*SERVER_FRAMES.values(), *(view for answers in REPLIES.values() for view in answers or ())]
    return [*CLIENT_FRAMES.values(), ErrorBody, *(each for each in data if each is not None)]


def channel() -> Schema:
    """Describe the one channel."""
    token = {"type": "string", "description": "the token, where no header and no `hello` carries it"}
    since = {"type": "string", "description": "the `since` that the client holds, to be caught up from there"}
    return {
        "address": "/v1/ws",
        "title": "The native socket",
        "description": (
            "One JSON object a text frame. A frame with an `id` gets exactly one `reply` or `error` with that id. "
            "Clients ignore frames and fields that they do not know."
        ),
        "servers": [{"$ref": "#/servers/gateway"}],
        "messages": {name: {"$ref": f"#/components/messages/{CHANNEL}.{name}"} for name in messages()},
        "bindings": {
            "ws": {
                "method": "GET",
                "query": {"type": "object", "properties": {"token": token, "since": since}},
                "bindingVersion": "0.1.0",
            }
        },
        "x-subprotocols": ["warren.v1"],
        "x-close-codes": [
            {"code": each.code, "name": each.name.lower(), "reason": each.reason, "reconnect": each.reconnect}
            for each in Disconnect
        ],
        "x-error-codes": [{"code": code.value, "http_status": code.http_status} for code in ErrorCode],
    }


def messages() -> dict[str, Schema]:
    """Describe every frame, by its name in the channel."""
    described = {f"client.{type_}": _asked(type_, frame) for type_, frame in CLIENT_FRAMES.items()}
    described |= {f"reply.{type_}": _reply(type_, REPLIES[type_]) for type_ in CLIENT_FRAMES}
    described |= {f"server.{type_}": _pushed(type_, data) for type_, data in SERVER_FRAMES.items()}
    return described | {"error": _error()}


def operations() -> dict[str, Schema]:
    """Describe what the gateway does: it receives each client frame and answers it, and it sends the rest."""
    received = {f"receive.{type_}": _receives(type_) for type_ in CLIENT_FRAMES}
    return received | {
        "push": {
            "action": "send",
            "channel": _CHANNEL,
            "summary": "What the server says unasked",
            "messages": [_in_channel(f"server.{type_}") for type_ in SERVER_FRAMES],
        }
    }


def _receives(type_: str) -> Schema:
    answers = [_in_channel(f"reply.{type_}"), _in_channel("error")]
    return {
        "action": "receive",
        "channel": _CHANNEL,
        "summary": cleandoc(CLIENT_FRAMES[type_].__doc__ or type_),
        "messages": [_in_channel(f"client.{type_}")],
        "reply": {"channel": _CHANNEL, "messages": answers},
    }


def _in_channel(name: str) -> Schema:
    return {"$ref": f"#/channels/{CHANNEL}/messages/{name}"}


def _message(type_: str, summary: str, payload: Schema) -> Schema:
    return {"name": type_, "summary": summary, "contentType": "application/json", "payload": payload}


def _asked(type_: str, frame: type[msgspec.Struct]) -> Schema:
    return _message(type_, cleandoc(frame.__doc__ or type_), reference(frame))


def _reply(type_: str, answers: tuple[type[msgspec.Struct], ...] | None) -> Schema:
    data: Schema = {} if answers is None else one_of(answers) if answers else {"type": "object", "maxProperties": 0}
    properties: dict[str, Schema] = {
        "type": {"const": "reply"},
        "id": {"type": "string"},
        "ok": {"const": True},
        "data": data,
    }
    return _message("reply", f"The answer to `{type_}`", _frame(properties))


def _pushed(type_: str, data: type[msgspec.Struct] | None) -> Schema:
    summary = cleandoc(data.__doc__ or type_) if data else "The answer to a `ping` without an id"
    return _message(type_, summary, _frame({"type": {"const": type_}, "data": reference(data) if data else {}}))


def _error() -> Schema:
    properties: dict[str, Schema] = {
        "type": {"const": "error"},
        "id": {"type": "string"},
        "error": reference(ErrorBody),
    }
    frame = _frame(properties)
    frame["required"].remove("id")  # of a frame that could not be read so far
    return _message("error", "Why something came to nothing", frame)


def _frame(properties: dict[str, Schema]) -> Schema:
    return {
        "type": "object",
        "properties": {**properties, "timestamp": _TIME},
        "required": [*properties, "timestamp"],
    }
