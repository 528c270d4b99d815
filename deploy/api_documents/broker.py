"""The broker in AsyncAPI's words: every exchange as a channel, with what its messages carry."""

from collections.abc import Mapping
from typing import get_args

import msgspec

from shared import commands, events
from shared.broker.retry import (
    ATTEMPTS_HEADER,
    DEAD_ID_HEADER,
    DIED_AT_HEADER,
    FIRST_ERROR_HEADER,
    LAST_ERROR_HEADER,
    ORIGIN_HEADER,
    REASON_HEADER,
)
from shared.broker.topology import (
    COMMANDS,
    DEAD,
    DELAY_HEADER,
    DELIVERY_EVENTS,
    EVENTS,
    EXCHANGES,
    FAMILY_HEADER,
    GATEWAYS,
    HISTORY_COMMANDS,
    PRESENCE,
    RECEIPTS,
    REPLICAS,
    RETRY,
    SESSIONS,
    SIGNALS,
    Exchange,
    Topology,
    gateway_queue,
    replicas_queue,
    routing_queue,
)
from shared.envelope import Envelope
from shared.ids import GatewayId
from shared.json_schemas import Schema, one_of, reference

_ASKED = (commands.CreateConversation, commands.SendMessage, *get_args(commands.Alteration), commands.Acknowledge)
_LOG = get_args(events.Entry)
_OF_SESSIONS = (
    events.SessionOpened,
    events.SessionClosed,
    events.SessionsAnnounced,
    events.GatewayRefreshed,
    events.GatewayStopped,
    events.SessionsWanted,
    commands.SetStatus,
)
CARRIES: Mapping[Exchange, tuple[type[msgspec.Struct], ...]] = {
    COMMANDS: _ASKED,
    EVENTS: _LOG,
    GATEWAYS: (
        events.Handoff,
        events.Stored,
        events.ConversationCreated,
        events.Changed,
        events.Rejected,
        events.SessionsRouted,
        events.SessionsWanted,
    ),
    RECEIPTS: (events.ReceiptAdvanced, events.MessageFailed, events.Notified),
    SESSIONS: _OF_SESSIONS,
    PRESENCE: (events.PresenceChanged, events.ProfileChanged, events.DeviceSignedOut),
    SIGNALS: (commands.SetTyping,),
    REPLICAS: (events.ReplicaRefreshed, events.ReplicaStopped),
    RETRY: (*_ASKED, *_LOG, *_OF_SESSIONS),
    DEAD: (*_ASKED, *_LOG, *_OF_SESSIONS),
}
_SAYS: Mapping[Exchange, str] = {
    COMMANDS: "What clients ask for. The key is the shard: CRC-32 of the conversation's id, modulo the shards.",
    EVENTS: "The entries of the conversations' logs, to those who deliver them. The key is the shard.",
    GATEWAYS: "Hand-offs and answers to one gateway. The key is its id.",
    RECEIPTS: "Receipts, to every gateway.",
    SESSIONS: "The news of sessions, to presence, delivery and every gateway.",
    PRESENCE: "The news of users, to every gateway.",
    SIGNALS: "What is worth nothing a moment later.",
    REPLICAS: "Who shares a family of queues: its replicas, to each other. The key is the family.",
    RETRY: "What failed and comes back after a delay. The key is its queue; the headers name the rung.",
    DEAD: "What was given up. The key is the family of the queue; a malformed one holds whatever was there.",
}
_TEXT, _NUMBER = {"type": "string"}, {"type": "integer"}
_HEADERS: Mapping[Exchange, Mapping[str, Schema]] = {
    RETRY: {FAMILY_HEADER: _TEXT, DELAY_HEADER: _NUMBER, FIRST_ERROR_HEADER: _TEXT, LAST_ERROR_HEADER: _TEXT},
    DEAD: {
        DEAD_ID_HEADER: _TEXT,
        REASON_HEADER: {"enum": ["transient", "malformed"]},
        ATTEMPTS_HEADER: _NUMBER,
        ORIGIN_HEADER: _TEXT,
        DIED_AT_HEADER: {"type": "string", "format": "date-time"},
        FIRST_ERROR_HEADER: _TEXT,
        LAST_ERROR_HEADER: _TEXT,
    },
}


def structs() -> list[type[msgspec.Struct]]:
    """Name the structs that the messages are made of."""
    return [Envelope, *dict.fromkeys(body for bodies in CARRIES.values() for body in bodies)]


def channels() -> dict[str, Schema]:
    """Describe every exchange."""
    return {exchange.name: _channel(exchange) for exchange in EXCHANGES}


def messages() -> dict[str, Schema]:
    """Describe the AMQP message of every exchange: a batch of envelopes."""
    return {_name(exchange): _message(exchange) for exchange in EXCHANGES}


def operations() -> dict[str, Schema]:
    """Describe who uses the exchanges: the services, both ways."""
    described: dict[str, Schema] = {}
    for exchange in EXCHANGES:
        each = {
            "channel": {"$ref": f"#/channels/{exchange.name}"},
            "messages": [{"$ref": f"#/channels/{exchange.name}/messages/batch"}],
        }
        described[f"publish.{exchange.name}"] = {"action": "send", **each}
        described[f"consume.{exchange.name}"] = {"action": "receive", **each}
    return described


def _name(exchange: Exchange) -> str:
    return f"{exchange.name}.batch"


def _channel(exchange: Exchange) -> Schema:
    return {
        "address": exchange.name,
        "description": _SAYS[exchange],
        "servers": [{"$ref": "#/servers/rabbitmq"}],
        "messages": {"batch": {"$ref": f"#/components/messages/{_name(exchange)}"}},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {
                    "name": exchange.name,
                    "type": exchange.kind.value,
                    "durable": True,
                    "autoDelete": False,
                    "vhost": "/",
                },
                "bindingVersion": "0.3.0",
            }
        },
        "x-queues": _queues(exchange),
    }


def _queues(exchange: Exchange) -> list[str]:
    """Name the queues that are bound to an exchange; with the default number of shards."""
    replicas = (replicas_queue(family, "<replica>") for family in (HISTORY_COMMANDS, DELIVERY_EVENTS))
    every = (*Topology().queues, gateway_queue(GatewayId("<gateway>")), routing_queue("<replica>"), *replicas)
    return [queue.name for queue in every if any(binding.exchange == exchange for binding in queue.bindings)]


def _message(exchange: Exchange) -> Schema:
    body = {"type": "object", "properties": {"body": one_of(CARRIES[exchange])}}
    headers = _HEADERS.get(exchange)
    return {
        "name": "batch",
        "summary": "A JSON array of envelopes",
        "contentType": "application/json",
        **({"headers": {"type": "object", "properties": dict(headers)}} if headers else {}),
        "payload": {"type": "array", "minItems": 1, "items": {"allOf": [reference(Envelope), body]}},
    }
