"""`/api/instance/...`: a tenant's instances made, listed, deleted, and their tokens rotated (contract section 5)."""

import msgspec
from aiohttp import web

from gateway.api import bodies, instance_bodies
from gateway.api.answers import (
    DeletedInstance,
    InstanceCreated,
    InstanceDeleted,
    Instances,
    InstanceWithToken,
    ListedInstance,
    NewInstance,
    NewToken,
    TokenRotated,
    ToldConnection,
    ToldUpstream,
    Total,
)
from gateway.api.guards import Caller
from gateway.presence.errors import InstanceNotFound
from gateway.presence.model import Instance, Target
from gateway.process import envelope
from gateway.wiring import Services

ACTIVE = "active"
"""The only status that an instance has."""


class InstanceRoutes:
    """Reads bodies, asks the directory, words answers."""

    def __init__(self, services: Services) -> None:
        """Bound the bodies' arrival in time; their size is bounded by the server."""
        self._services = services
        self._body_timeout_s = services.settings.http.body_timeout_s

    async def create(self, request: web.Request, caller: Caller) -> web.Response:
        """Make an instance; its token is in the answer this once, at both places where clients look for it."""
        wanted = instance_bodies.new_instance(await bodies.read(request, self._body_timeout_s), trusted=False)
        account_id = caller.principal.account_id
        instance, token = await make_instance(self._services, account_id, wanted, by=account_id)
        made = NewInstance(instance.id, instance.name, ACTIVE, token, told_target(instance.target))
        return secret(InstanceCreated("Instance created", made, NewToken(token)), status=201)

    async def list_instances(self, request: web.Request, caller: Caller) -> web.Response:
        """List the caller's instances with their connection; an instance's token sees only its own."""
        found = await self._services.directory.instances(caller.principal.account_id)
        if caller.principal.kind == "instance":
            found = [instance for instance in found if instance.id == caller.principal.instance_id]
        else:
            found = _filtered(found, request.query.get("instanceName", ""))
        states = await self._services.connections.of(found)
        listed = [
            ListedInstance(instance.id, instance.name, ACTIVE, ToldConnection(state))
            for instance, state in zip(found, states, strict=True)
        ]
        total = len(listed)
        message = f"{total} Instance{'' if total == 1 else 's'} found"
        return envelope.success(Instances(message, listed, Total(total)))

    async def delete(self, request: web.Request, caller: Caller, instance: Instance) -> web.Response:  # noqa: ARG002
        """Delete an instance: its tokens die at once, the pauses that it owes are dispatched now."""
        await self._services.removal.delete_instance(instance, by=caller.principal.account_id)
        return envelope.success(InstanceDeleted("Instance deleted", DeletedInstance(instance.name)))

    async def rotate_token(self, request: web.Request, caller: Caller, instance: Instance) -> web.Response:
        """Replace the instance's token; the old one lives for the grace time that the caller chose."""
        grace_s = instance_bodies.grace_s(await bodies.read(request, self._body_timeout_s))
        created = await self._services.tenancy.rotate_instance_token(
            instance, grace_s=grace_s, by=caller.principal.account_id
        )
        told = InstanceWithToken(instance.id, instance.name, ACTIVE, created.token)
        return secret(TokenRotated("Instance token rotated", told, NewToken(created.token), grace_s))


async def make_instance(
    services: Services, account_id: str, wanted: instance_bodies.NewInstance, *, by: str
) -> tuple[Instance, str]:
    """Make an instance, if the operator's rules allow its upstream; returns it and its token."""
    if wanted.upstream is not None:
        await services.policy.check(wanted.upstream, account_id)
    created = await services.directory.create_instance(
        account_id, wanted.name, upstream=wanted.upstream, session=wanted.session, token=wanted.token, by=by
    )
    return await services.directory.instance_by_id(created.id), created.token


def told_target(target: Target, *, to_operator: bool = False) -> ToldUpstream:
    """Word an upstream; where the operator's own upstreams are is not a tenant's business."""
    url = target.url if to_operator or not target.trusted else None
    return ToldUpstream(target.kind, url, target.session)


def secret(answer: msgspec.Struct, *, status: int = 200) -> web.Response:
    """Answer with a token that nothing on the way may keep."""
    response = envelope.success(answer, status=status)
    response.headers["Cache-Control"] = "no-store"
    return response


def _filtered(instances: list[Instance], wanted: str) -> list[Instance]:
    """Keep those that a comma list names; a single name that is none of them is an error, as the contract has it."""
    names = {name.strip() for name in wanted.split(",") if name.strip()}
    if not names:
        return instances
    found = [instance for instance in instances if instance.name in names]
    if not found and len(names) == 1:
        raise InstanceNotFound
    return found
