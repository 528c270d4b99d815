"""The registry of wire languages: one line each."""

from gateway.dialects.native import NativeDialect

DIALECTS = {"/v1/ws": NativeDialect}
