"""The admin API in memory, as far as the console uses it.

`Office` is how a test arranges the world; an office of the same methods before the real API takes its place.
"""

import re
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web

from gateway import envelope

Record: TypeAlias = dict[str, Any]
Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

OPERATOR_KEY = "operator-key-of-the-tests"
LIMITS = {"per_minute": 100, "creation_per_minute": 20, "instances_quota": 100}
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")


class Refused(Exception):
    """A status and a message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(frozen=True)
class Opened:
    """An account that was opened, and its first token in clear."""

    id: str
    token: str


@dataclass
class Office:
    """What the admin API knows, and what happens to it from outside."""

    accounts: dict[str, Record] = field(default_factory=dict)
    tokens: dict[str, Record] = field(default_factory=dict)
    instances: dict[str, Record] = field(default_factory=dict)
    indicators: list[Record] = field(default_factory=list)
    used: dict[str, tuple[int, float]] = field(default_factory=dict)
    audit: list[Record] = field(default_factory=list)
    owed: int = 0

    key = OPERATOR_KEY

    async def open_account(self, name: str, token_name: str = "first", **limits: int) -> Opened:
        return self.add_account("operator", name, token_name, limits)

    async def add_instance(self, account: str, name: str, state: str = "connected", **upstream: str) -> str:
        instance = self.new_instance("operator", account, {"name": name, "upstream": upstream or None})
        instance["connection"]["state"] = state
        return str(instance["id"])

    async def add_token(self, account: str, name: str) -> str:
        token, _ = self.new_token("operator", account, "account", name)
        return str(token["id"])

    async def show(
        self,
        account: str,
        instance: str,
        chat: str,
        *,
        state: str = "typing",
        ends_in_s: float | None = 10.0,
        overdue_s: float = 0.0,
    ) -> None:
        since = time.time() - overdue_s
        ends = None if ends_in_s is None else since + ends_in_s - (ends_in_s if overdue_s else 0)
        shown = {"instance": instance, "account": account, "chat": chat, "state": state, "since": since}
        self.indicators.append({**shown, "ends": ends, "overdue_s": overdue_s})
        self.owed += ends is not None

    async def pause_all(self) -> None:
        self.indicators.clear()
        self.owed = 0

    async def use(self, token: str, used: int) -> None:
        self.used[token] = (used, time.time() + 30)

    async def revoke(self, token: str) -> None:
        del self.tokens[token]

    async def tokens_of(self, account: str) -> list[Record]:
        return [token for token in self.tokens.values() if token["account"] == account]

    def add_account(self, actor: str, name: str, token_name: str, limits: Record) -> Opened:
        if not _NAME.fullmatch(name):
            raise Refused(400, "Invalid account name")
        if any(account["name"] == name for account in self.accounts.values()):
            raise Refused(409, "Account already exists")
        key = _new_id("acc")
        made = {"id": key, "name": name, "status": "active", "created": time.time()}
        self.accounts[key] = {**made, **LIMITS, **limits}
        self.note(actor, "account.create", name)
        return Opened(key, self.new_token(actor, key, "account", token_name)[1])

    def new_token(self, actor: str, account: str, kind: str, name: str, secret: str = "") -> tuple[Record, str]:
        secret = secret or f"{'pga' if kind == 'account' else 'pgi'}_{secrets.token_urlsafe(24)}"
        token: Record = {"id": _new_id("tok"), "name": name, "prefix": secret[:12], "kind": kind}
        fresh = {"created": time.time(), "last_used": None, "expires": None}
        self.tokens[token["id"]] = {**token, **fresh, "account": account, "secret": secret}
        self.note(actor, "token.issue", name)
        return self.tokens[token["id"]], secret

    def new_instance(self, actor: str, account: str, asked: Record) -> Record:
        if not _NAME.fullmatch(asked["name"]):
            raise Refused(400, "Invalid instance name")
        if any(one["name"] == asked["name"] for one in self.instances.values() if one["account"] == account):
            raise Refused(409, "Instance already exists")
        upstream = {"kind": "sandbox", "url": "http://127.0.0.1:8090", **(asked.get("upstream") or {})}
        upstream.pop("credential", None)
        made = {
            "id": _new_id("ins"),
            "name": asked["name"],
            "status": "active",
            "upstream": {"session": None, **upstream},
        }
        self.instances[made["id"]] = {**made, "connection": {"state": "unknown"}, "account": account}
        self.note(actor, "instance.create", asked["name"], f"upstream {upstream['kind']}")
        return self.instances[made["id"]]

    def note(self, actor: str, action: str, subject: str, detail: str = "") -> None:
        entry = {"id": f"{len(self.audit)}-0", "at": time.time(), "actor": actor, "action": action}
        self.audit.append({**entry, "subject": subject, "detail": detail})


OFFICE = web.AppKey("office", Office)
ACTOR = web.RequestKey("actor", str)
OWN = web.RequestKey("own", object)  # the account of the token; None for the operator


def create_admin_api(office: Office) -> web.Application:
    app = web.Application(middlewares=[_guard])
    app[OFFICE] = office
    app.add_routes(
        [
            web.get("/admin/session", session),
            web.get("/admin/accounts", list_accounts),
            web.post("/admin/accounts", create_account),
            web.patch("/admin/accounts/{account}", change_account),
            web.delete("/admin/accounts/{account}", delete_account),
            web.post("/admin/accounts/{account}/{verb:suspend|resume}", suspend_or_resume),
            web.get("/admin/accounts/{account}/tokens", list_tokens),
            web.post("/admin/accounts/{account}/tokens", issue_token),
            web.post("/admin/tokens/{token}/rotate", rotate_token),
            web.delete("/admin/tokens/{token}", revoke_token),
            web.get("/admin/accounts/{account}/instances", list_instances),
            web.post("/admin/accounts/{account}/instances", create_instance),
            web.delete("/admin/instances/{instance}", delete_instance),
            web.post("/admin/instances/{instance}/token", rotate_instance),
            web.get("/admin/indicators", indicators),
            web.get("/admin/usage", usage),
            web.get("/admin/audit", audit),
        ],
    )
    return app


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    if not request.path.startswith("/admin/"):
        return await handler(request)
    try:
        request[ACTOR], request[OWN] = _caller(request)
        return await handler(request)
    except Refused as refused:
        return envelope.failure(refused.status, refused.message)


def _caller(request: web.Request) -> tuple[str, str | None]:
    office = request.app[OFFICE]
    kind, _, credential = request.headers.get("Authorization", "").partition(" ")
    if kind != "Bearer" or request.cookies:
        raise Refused(401, "Missing key")
    if credential == office.key:
        return "operator", None
    for token in office.tokens.values():
        account = office.accounts[token["account"]]
        if (token["secret"], token["kind"], account["status"]) == (credential, "account", "active"):
            token["last_used"] = time.time()
            return f"account {account['name']}", account["id"]
    raise Refused(401, "Invalid token")


def _operator_only(request: web.Request) -> Office:
    if request[OWN] is not None:
        raise Refused(403, "Operator only")
    return request.app[OFFICE]


def _account(request: web.Request) -> Record:
    return _mine(request, request.app[OFFICE].accounts, "account", "id")


def _mine(request: web.Request, records: dict[str, Record], name: str, owner: str = "account") -> Record:
    record = records.get(request.match_info[name])
    if record is None or (request[OWN] is not None and record[owner] != request[OWN]):
        raise Refused(404, f"{name.capitalize()} not found")
    return record


async def _confirm(request: web.Request, name: str) -> None:
    if (await request.json()).get("confirm") != name:
        raise Refused(400, "Confirm with the name")


async def session(request: web.Request) -> web.Response:
    own = request.app[OFFICE].accounts.get(str(request[OWN]))
    account = own and {"id": own["id"], "name": own["name"]}
    return envelope.success({"kind": "account" if own else "operator", "account": account})


async def list_accounts(request: web.Request) -> web.Response:
    office, own = request.app[OFFICE], request[OWN]
    return envelope.success(
        {"accounts": [_counted(office, one) for one in office.accounts.values() if own in {None, one["id"]}]}
    )


def _counted(office: Office, account: Record) -> Record:
    def count(records: dict[str, Record]) -> int:
        return sum(record["account"] == account["id"] for record in records.values())

    return {**account, "instances": count(office.instances), "tokens": count(office.tokens)}


async def create_account(request: web.Request) -> web.Response:
    office, asked = _operator_only(request), await request.json()
    opened = office.add_account(request[ACTOR], asked.pop("name"), "default", asked)
    return envelope.success(
        {"account": _counted(office, office.accounts[opened.id]), "token": opened.token}, status=201
    )


async def change_account(request: web.Request) -> web.Response:
    office, account, asked = _operator_only(request), _account(request), await request.json()
    if not all(isinstance(value, int | None) and name in LIMITS for name, value in asked.items()):
        raise Refused(400, "Invalid request body")
    account.update(asked)
    office.note(request[ACTOR], "account.change", account["name"], str(asked))
    return envelope.success({"account": _counted(office, account)})


async def suspend_or_resume(request: web.Request) -> web.Response:
    office, account, verb = _operator_only(request), _account(request), request.match_info["verb"]
    account["status"] = "suspended" if verb == "suspend" else "active"
    office.note(request[ACTOR], f"account.{verb}", account["name"])
    return envelope.success({"account": _counted(office, account)})


async def delete_account(request: web.Request) -> web.Response:
    office, account = _operator_only(request), _account(request)
    await _confirm(request, account["name"])
    for records in (office.tokens, office.instances):
        for key in [key for key, record in records.items() if record["account"] == account["id"]]:
            del records[key]
    del office.accounts[account["id"]]
    office.note(request[ACTOR], "account.delete", account["name"])
    return envelope.success({})


def _public(token: Record) -> Record:
    return {key: value for key, value in token.items() if key not in {"secret", "account"}}


async def list_tokens(request: web.Request) -> web.Response:
    theirs = await request.app[OFFICE].tokens_of(_account(request)["id"])
    return envelope.success({"tokens": [_public(token) for token in theirs]})


async def issue_token(request: web.Request) -> web.Response:
    account, asked = _account(request), await request.json()
    token, secret = request.app[OFFICE].new_token(request[ACTOR], account["id"], "account", asked["name"])
    return envelope.success({"token": _public(token), "secret": secret}, status=201)


async def rotate_token(request: web.Request) -> web.Response:
    office, asked = request.app[OFFICE], await request.json()
    old = _mine(request, office.tokens, "token")
    token, secret = office.new_token(request[ACTOR], old["account"], old["kind"], old["name"])
    if asked["grace"]:
        old["expires"] = time.time() + asked["grace"]
    else:
        del office.tokens[old["id"]]
    return envelope.success({"token": _public(token), "secret": secret}, status=201)


async def revoke_token(request: web.Request) -> web.Response:
    office = request.app[OFFICE]
    token = _mine(request, office.tokens, "token")
    await office.revoke(token["id"])
    office.note(request[ACTOR], "token.revoke", token["name"])
    return envelope.success({})


async def list_instances(request: web.Request) -> web.Response:
    account = _account(request)["id"]
    theirs = [one for one in request.app[OFFICE].instances.values() if one["account"] == account]
    return envelope.success({"instances": theirs})


async def create_instance(request: web.Request) -> web.Response:
    office, account, asked = request.app[OFFICE], _account(request), await request.json()
    instance = office.new_instance(request[ACTOR], account["id"], asked)
    _, secret = office.new_token(request[ACTOR], account["id"], "instance", asked["name"], asked.get("token", ""))
    return envelope.success({"instance": {**instance, "token": secret}}, status=201)


async def delete_instance(request: web.Request) -> web.Response:
    office = request.app[OFFICE]
    instance = _mine(request, office.instances, "instance")
    await _confirm(request, instance["name"])
    del office.instances[instance["id"]]
    office.note(request[ACTOR], "instance.delete", instance["name"])
    return envelope.success({})


async def rotate_instance(request: web.Request) -> web.Response:
    office = request.app[OFFICE]
    instance = _mine(request, office.instances, "instance")
    token, secret = office.new_token(request[ACTOR], instance["account"], "instance", instance["name"])
    return envelope.success({"token": _public(token), "secret": secret}, status=201)


def _asked_account(request: web.Request) -> object:
    return request[OWN] or request.query.get("account")


async def indicators(request: web.Request) -> web.Response:
    office, account = request.app[OFFICE], _asked_account(request)
    shown = [one for one in office.indicators if account in {None, one["account"]}]
    oldest = max((one["overdue_s"] for one in shown), default=0.0)
    return envelope.success({"indicators": shown, "owed": office.owed, "oldest_overdue_s": oldest})


async def usage(request: web.Request) -> web.Response:
    office, account = request.app[OFFICE], _asked_account(request)
    rows = [
        {"id": token["id"], "limit": office.accounts[token["account"]]["per_minute"], "used": used, "reset": reset}
        for token in office.tokens.values()
        if account in {None, token["account"]}
        for used, reset in [office.used.get(token["id"], (0, time.time()))]
    ]
    return envelope.success({"tokens": rows})


async def audit(request: web.Request) -> web.Response:
    return envelope.success({"entries": _operator_only(request).audit[-int(request.query["count"]) :][::-1]})


def _new_id(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(6)}"
