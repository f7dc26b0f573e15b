"""The words both descriptions are written in: schemas derived from types, operations with the refusals they share."""

import inspect
import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, Literal

import msgspec

from gateway import SERVICE, VERSION
from gateway.presence.errors import (
    BodyTooLarge,
    BodyTooSlow,
    GatewayError,
    InvalidBody,
    RateLimited,
    StoreUnavailable,
)

Schema = dict[str, Any]
Examples = Mapping[str, Mapping[str, Any]]


class ExpectationFailed:
    """The request's `Expect` header asks for what cannot be met."""

    status = 417
    message = "Expectation failed"


class Fault:
    """A fault of the gateway's own; its log has it under the answer's `X-Request-Id`."""

    status = GatewayError.status
    message = GatewayError.message


Refusal = GatewayError | type[GatewayError | ExpectationFailed | Fault]
"""An error of the tree, or what is answered without one."""

ALWAYS = (ExpectationFailed, RateLimited, Fault, StoreUnavailable)
"""What any guarded operation may refuse with, beside what its gate says of tokens."""

WITH_BODY = (InvalidBody, BodyTooSlow, BodyTooLarge)
"""And what any operation that reads a body may."""


def schema(kind: type, *needed: str) -> Schema:
    """Derive the schema of a type; a body's type lets everything be left out, so what is `needed` is named."""
    derived = msgspec.json.schema(kind)
    told = _flat(derived, derived.get("$defs", {}))
    for name in needed:
        types = told["properties"][name]["type"]
        told["properties"][name]["type"] = next(one for one in types if one != "null")
    return told if not needed else {**told, "required": list(needed)}


def operation(
    name: str,
    summary: str,
    answer: type,
    *refusals: Refusal,
    status: int = 200,
    answers: Examples | None = None,
    body: Schema | None = None,
    body_required: bool = True,
    bodies: Examples | None = None,
    query: Mapping[str, str] | None = None,
    always: Iterable[Refusal] = ALWAYS,
) -> Schema:
    """Describe one operation, with the refusals of every guarded one; an unguarded one says what is `always` left."""
    refused = [*always, *refusals, *(WITH_BODY if body else ())]
    by_status = groupby(sorted(refused, key=lambda error: error.status), key=lambda error: error.status)
    told = schema(answer)
    told = {**told, "properties": {"success": {"const": True}, **told["properties"]}}
    told["required"] = ["success", *told["required"]]
    described: Schema = {
        "operationId": name,
        "summary": summary,
        "parameters": [_parameter(key, "query", about) for key, about in (query or {}).items()],
        "responses": {
            str(status): {"description": "Done.", "content": _json(told, answers)},
            **{str(code): _refused(list(errors)) for code, errors in by_status},
        },
    }
    if body:
        described["requestBody"] = {"required": body_required, "content": _json(body, bodies)}
    if always is not ALWAYS:
        described["security"] = []
    return described


def part(name: str, about: str, example: str) -> Schema:
    """Describe what stands in braces in a path."""
    told = _parameter(name, "path", about)
    return {**told, "required": True, "example": example, "schema": {"type": "string", "minLength": 1}}


def document(
    title: str,
    about: str,
    schemes: Mapping[str, Any],
    groups: Mapping[str, Mapping[str, Schema]],
    parts: Mapping[str, Schema],
) -> Schema:
    """Put a description together.

    Args:
        title: the API's name.
        about: what it is for.
        schemes: how its callers say who they are.
        groups: under each heading the operations, by method and path.
        parts: what stands in braces in a path.
    """
    paths: dict[str, Schema] = {}
    for heading, operations in groups.items():
        for route, told in operations.items():
            method, path = route.split()
            described = paths.setdefault(path, {"parameters": [parts[name] for name in re.findall(r"{(\w+)}", path)]})
            described[method.lower()] = {"tags": [heading], **told}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": VERSION, "description": about, "x-service": SERVICE},
        "security": [{name: []} for name in schemes],
        "paths": paths,
        "components": {"securitySchemes": dict(schemes), "schemas": {"Refusal": schema(_Refusal)}},
    }


class _Error(msgspec.Struct, forbid_unknown_fields=True):
    message: str


class _Refusal(msgspec.Struct, forbid_unknown_fields=True):
    success: Literal[False]
    error: _Error


def _refused(errors: list[Refusal]) -> Schema:
    """Describe one status: each message that comes with it, and when it does."""
    told = [f"- `{error.message}`: {(inspect.getdoc(error) or '').partition(chr(10))[0]}" for error in errors]
    values = {error.message: {"success": False, "error": {"message": error.message}} for error in errors}
    return {
        "description": "\n".join(dict.fromkeys(told)),
        "content": _json({"$ref": "#/components/schemas/Refusal"}, values),
    }


def _json(told: Schema, examples: Examples | None = None) -> Schema:
    content: Schema = {"schema": told}
    if examples and len(examples) == 1:
        content["example"] = next(iter(examples.values()))
    elif examples:
        content["examples"] = {name: {"value": value} for name, value in examples.items()}
    return {"application/json": content}


def _parameter(name: str, place: str, about: str) -> Schema:
    return {"name": name, "in": place, "required": False, "description": about, "schema": {"type": "string"}}


def _flat(told: Any, kinds: Mapping[str, Schema]) -> Any:
    """Put types in the place of their references, leave out Python's names for them, and join plain alternatives."""
    if isinstance(told, list):
        return [_flat(one, kinds) for one in told]
    if not isinstance(told, dict):
        return told
    if "$ref" in told:
        told = {**kinds[told["$ref"].rpartition("/")[2]], **told}
    flat = {key: _flat(of, kinds) for key, of in told.items() if key not in {"$ref", "$defs", "default"}}
    if isinstance(flat.get("title"), str):
        del flat["title"]
    alternatives = flat.get("anyOf", ())
    if alternatives and all(one.keys() == {"type"} for one in alternatives):
        flat.setdefault("type", [one["type"] for one in alternatives])
        del flat["anyOf"]
    return flat


BEARER = {"type": "http", "scheme": "bearer"}


def header(name: str) -> dict[str, str]:
    """Describe a key in a header."""
    return {"type": "apiKey", "in": "header", "name": name}
