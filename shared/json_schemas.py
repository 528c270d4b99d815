"""JSON schemas of msgspec structs, as the documents name them.

msgspec has a generator of its own, which refuses fields whose default is raw JSON and writes OpenAPI's discriminators.
"""

from collections.abc import Iterable
from inspect import cleandoc
from typing import Any, TypeAlias

import msgspec
from msgspec import inspect

Schema: TypeAlias = dict[str, Any]
REFERENCE = "#/components/schemas/"
_LAST_NEWLINE = r"(?!\n)"  # what a pattern needs in Python; in a schema `$` is the end and nothing else


def reference(struct: type) -> Schema:
    """Refer to a struct's schema."""
    return {"$ref": f"{REFERENCE}{struct.__name__}"}


def one_of(structs: Iterable[type]) -> Schema:
    """Allow any of the structs; they differ by a tag, or by fields that must be there."""
    references = [reference(struct) for struct in structs]
    return references[0] if len(references) == 1 else {"oneOf": references}


def components(roots: Iterable[type]) -> dict[str, Schema]:
    """Give the schemas of structs and of everything in them, by name. Raises: ValueError, where two share a name."""
    named: dict[str, type] = {}
    schemas: dict[str, Schema] = {}
    waiting = list(roots)
    while waiting:
        struct = waiting.pop()
        if named.setdefault(struct.__name__, struct) is not struct:
            raise ValueError(f"{struct} and {named[struct.__name__]} have the same name.")
        if struct.__name__ not in schemas:
            schemas[struct.__name__] = _Writer(waiting).struct(struct)
    return dict(sorted(schemas.items()))


def inline(type_: object, found: list[type]) -> Schema:
    """Give the schema of any type that msgspec knows; the structs in it are added to `found`."""
    return _Writer(found).schema(inspect.type_info(type_))


class _Writer:
    def __init__(self, found: list[type]) -> None:
        self._found = found

    def struct(self, struct: type) -> Schema:
        info = inspect.type_info(struct)
        assert isinstance(info, inspect.StructType)
        properties, required = {}, []
        if info.tag_field is not None:
            properties[info.tag_field] = {"const": info.tag}
            required.append(info.tag_field)
        for field in sorted(info.fields, key=lambda field: field.encode_name):
            properties[field.encode_name] = self._field(field)
            if field.required:
                required.append(field.encode_name)
        described = {"description": cleandoc(struct.__doc__)} if struct.__doc__ else {}
        return {"type": "object", **described, "properties": properties, "required": required}

    def _field(self, field: inspect.Field) -> Schema:
        schema = self.schema(field.type)
        if field.encode_name == "metadata":
            schema = {"type": "object" if field.required else ["object", "null"]}
        if field.default is msgspec.NODEFAULT or field.default is None:
            return schema
        default = msgspec.json.decode(msgspec.json.encode(field.default))
        return {**schema, "default": default} if "$ref" not in schema else schema

    def schema(self, info: inspect.Type) -> Schema:
        match info:
            case inspect.Metadata():
                return self.schema(info.type) | dict(info.extra_json_schema or {})
            case inspect.StructType():
                self._found.append(info.cls)
                return reference(info.cls)
            case inspect.UnionType():
                return self._union(info)
            case inspect.EnumType():
                return {"enum": [member.value for member in info.cls]}
            case inspect.LiteralType():
                return {"enum": sorted(info.values)} if len(info.values) > 1 else {"const": info.values[0]}
            case inspect.DictType():
                return self._mapping(info)
            case inspect.TupleType():
                return {"type": "array", "maxItems": len(info.item_types)}
            case inspect.ListType() | inspect.VarTupleType() | inspect.SetType() | inspect.FrozenSetType():
                bounds = _bounds(minItems=info.min_length, maxItems=info.max_length)
                return {"type": "array", "items": self.schema(info.item_type), **bounds}
        return _scalar(info)

    def _union(self, info: inspect.UnionType) -> Schema:
        several = [self.schema(each) for each in info.types if not isinstance(each, inspect.NoneType)]
        schema = several[0] if len(several) == 1 else {"anyOf": several}
        if not _is_optional(info):
            return schema
        if isinstance(schema.get("type"), str) and "enum" not in schema:
            return {**schema, "type": [schema["type"], "null"]}
        return {"anyOf": [*schema.get("anyOf", [schema]), {"type": "null"}]}

    def _mapping(self, info: inspect.DictType) -> Schema:
        keys = self.schema(info.key_type)
        named = {} if keys == {"type": "string"} else {"propertyNames": keys}
        return {"type": "object", "additionalProperties": self.schema(info.value_type), **named}


def _scalar(info: inspect.Type) -> Schema:
    match info:
        case inspect.StrType():
            pattern = info.pattern.replace(_LAST_NEWLINE, "") if info.pattern else None
            return {"type": "string", **_bounds(minLength=info.min_length, maxLength=info.max_length, pattern=pattern)}
        case inspect.IntType():
            return {"type": "integer", **_bounds(minimum=info.ge, maximum=info.le)}
        case inspect.FloatType():
            return {"type": "number"}
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.DateTimeType():
            return {"type": "string", "format": "date-time"}
        case inspect.AnyType() | inspect.RawType():
            return {}
        case inspect.CustomType() if info.cls is object:
            return {}
    raise TypeError(f"No schema is known for {info}.")


def _is_optional(info: inspect.Type) -> bool:
    return isinstance(info, inspect.UnionType) and any(isinstance(each, inspect.NoneType) for each in info.types)


def _bounds(**bounds: object) -> Schema:
    return {name: bound for name, bound in bounds.items() if bound is not None}
