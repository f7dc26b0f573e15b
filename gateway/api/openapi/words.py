"""The words both descriptions are written in: schemas in short form, operations with the refusals they share."""

from collections.abc import Mapping
from typing import Any

from gateway import SERVICE, VERSION

Schema = dict[str, Any]

STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}

_MEANING = {
    400: "The request cannot be obeyed as it is.",
    401: "The caller did not prove who they are.",
    403: "The caller may not do this.",
    404: "There is no such thing, as far as this caller may know.",
    408: "The body did not arrive in time.",
    409: "The name or the token is taken, or another account uses the session.",
    413: "The body is too large.",
    417: "An expectation of the request cannot be met.",
    429: "Over the limit; wait until `X-RateLimit-Reset`.",
    500: "A fault of the gateway.",
    501: "The instance's upstream has no such indicator.",
    502: "The upstream answered with an error.",
    503: "Try again soon.",
    504: "The upstream did not answer in time.",
}
ALWAYS = (401, 417, 429, 500, 503)
"""What any guarded operation may refuse with."""

WITH_BODY = (400, 408, 413)
"""And what any operation that reads a body may."""


def text(description: str = "", **more: Any) -> Schema:
    """Describe a string."""
    return {"type": "string", **({"description": description} if description else {}), **more}


def flag(description: str) -> Schema:
    """Describe a yes or no."""
    return {"type": "boolean", "description": description}


def nullable(schema: Schema) -> Schema:
    """Allow null beside a schema of one type."""
    return {**schema, "type": [schema["type"], "null"]}


def items(schema: Schema) -> Schema:
    """Describe a list."""
    return {"type": "array", "items": schema}


def fields(needed: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """Describe an object; further fields are allowed, since answers grow."""
    return {"type": "object", "properties": {**needed, **(optional or {})}, "required": list(needed)}


def success(needed: Mapping[str, Schema]) -> Schema:
    """Describe an answer in the envelope."""
    return fields({"success": {"const": True}, **needed})


def operation(
    name: str,
    summary: str,
    answer: Schema,
    *,
    status: int = 200,
    body: Schema | None = None,
    body_required: bool = True,
    refusals: tuple[int, ...] = (),
    query: Mapping[str, str] | None = None,
    guarded: bool = True,
) -> dict[str, Any]:
    """Describe one operation, with the refusals of every guarded one."""
    refused = {*refusals, *(ALWAYS if guarded else (500,)), *(WITH_BODY if body else ())}
    described: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "responses": {
            str(status): {"description": "Done.", "content": {"application/json": {"schema": answer}}},
            **{str(code): _refusal(code) for code in sorted(refused)},
        },
    }
    if query:
        described["parameters"] = [
            {"name": key, "in": "query", "required": False, "description": told, "schema": STRING}
            for key, told in query.items()
        ]
    if body:
        described["requestBody"] = {"required": body_required, "content": {"application/json": {"schema": body}}}
    if not guarded:
        described["security"] = []
    return described


def path(operations: Mapping[str, Any], **parameters: str) -> dict[str, Any]:
    """Describe a path: its operations by method, and what its parts are."""
    shared = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": told,
            "schema": {"type": "string", "minLength": 1},
        }
        for name, told in parameters.items()
    ]
    return {**operations, **({"parameters": shared} if shared else {})}


def document(title: str, about: str, schemes: Mapping[str, Any], paths: Mapping[str, Any]) -> dict[str, Any]:
    """Put a description together."""
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": VERSION, "description": about, "x-service": SERVICE},
        "security": [{name: []} for name in schemes],
        "paths": dict(paths),
        "components": {
            "securitySchemes": dict(schemes),
            "schemas": {
                "Refusal": {
                    **fields({"success": {"const": False}, "error": fields({"message": STRING})}),
                    "additionalProperties": False,
                }
            },
        },
    }


def _refusal(code: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Refusal"}
    return {"description": _MEANING[code], "content": {"application/json": {"schema": schema}}}


BEARER = {"type": "http", "scheme": "bearer"}


def header(name: str) -> dict[str, str]:
    """Describe a key in a header."""
    return {"type": "apiKey", "in": "header", "name": name}
