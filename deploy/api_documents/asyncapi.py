"""The AsyncAPI 3 document of Warren: its socket and its broker."""

from deploy.api_documents import broker, socket
from shared.json_schemas import Schema, components

_DESCRIPTION = (
    "The native socket of the gateway, for clients, and the messages of the broker, for the services. Made from the "
    "structs by which the code reads and writes them. The REST APIs have OpenAPI documents beside this one."
)


def render() -> Schema:
    """Give the document."""
    messages = {f"{socket.CHANNEL}.{name}": message for name, message in socket.messages().items()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Warren",
            "version": "1",
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "gateway": {
                "host": "localhost:8000",
                "protocol": "ws",
                "description": "Any gateway.",
                "security": [{"$ref": f"#/components/securitySchemes/{scheme}"} for scheme in _SECURITY],
            },
            "rabbitmq": {
                "host": "localhost:5672",
                "protocol": "amqp",
                "protocolVersion": "0.9.1",
                "description": "The services' own; never open to clients.",
            },
        },
        "channels": {socket.CHANNEL: socket.channel(), **broker.channels()},
        "operations": {**socket.operations(), **broker.operations()},
        "components": {
            "messages": {**messages, **broker.messages()},
            "schemas": components([*socket.structs(), *broker.structs()]),
            "securitySchemes": _SECURITY,
        },
    }


_SECURITY: dict[str, Schema] = {
    "header": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "query": {"type": "httpApiKey", "in": "query", "name": "token", "description": "A JWT, as ?token="},
}
