"""`/admin/.../instances`: the instances of any account, with their connection and where their sessions live."""

from aiohttp import web

from gateway.api import bodies, instance_bodies
from gateway.api.admin import bodies as admin_bodies
from gateway.api.admin.answers import (
    EndedByName,
    InstanceCreated,
    InstanceDeleted,
    Instances,
    ListedInstance,
    NewInstance,
    OneInstance,
    TokenRotated,
)
from gateway.api.admin.answers import Instance as ToldInstance
from gateway.api.admin.gate import AdminCaller
from gateway.api.admin.tokens import told_token
from gateway.api.answers import ToldConnection, ToldUpstream
from gateway.api.instances import ACTIVE, make_instance, secret, told_target
from gateway.presence.model import Instance
from gateway.process import envelope
from gateway.tenants.views import AccountView
from gateway.wiring import Services


class InstanceRoutes:
    """Instances, for the operator and for the account that has them."""

    def __init__(self, services: Services) -> None:
        """Work on the services's directory."""
        self._services = services
        self._body_timeout_s = services.settings.http.body_timeout_s

    async def list_instances(self, request: web.Request, caller: AdminCaller, account: AccountView) -> web.Response:  # noqa: ARG002
        """List an account's instances."""
        found = await self._services.directory.instances(account.id)
        states = await self._services.connections.of(found)
        listed = [
            ListedInstance(*_told(instance, caller), ToldConnection(state))
            for instance, state in zip(found, states, strict=True)
        ]
        return envelope.success(Instances(listed))

    async def create(self, request: web.Request, caller: AdminCaller, account: AccountView) -> web.Response:
        """Make an instance; the upstream that an operator names is trusted, a tenant's is held to the rules."""
        body = await bodies.read(request, self._body_timeout_s)
        wanted = instance_bodies.new_instance(body, trusted=caller.is_operator)
        instance, token = await make_instance(self._services, account.id, wanted, by=caller.actor)
        return secret(InstanceCreated(NewInstance(*_told(instance, caller), token), token), status=201)

    async def move(self, request: web.Request, caller: AdminCaller, instance: Instance) -> web.Response:
        """Give an instance an upstream of its own; what it owes where it was is paused there."""
        upstream = admin_bodies.upstream(await bodies.read(request, self._body_timeout_s))
        await self._services.moves.move_instance(instance.id, upstream, by=caller.actor)
        moved = await self._services.directory.instance_by_id(instance.id)
        return envelope.success(OneInstance(ToldInstance(*_told(moved, caller))))

    async def delete(self, request: web.Request, caller: AdminCaller, instance: Instance) -> web.Response:
        """Delete an instance, where its name is given again."""
        admin_bodies.confirm(await bodies.read(request, self._body_timeout_s), instance.name)
        await self._services.removal.delete_instance(instance, by=caller.actor)
        return envelope.success(InstanceDeleted(EndedByName(instance.id, instance.name)))

    async def rotate_token(self, request: web.Request, caller: AdminCaller, instance: Instance) -> web.Response:
        """Replace the instance's token; the old one lives for the grace time."""
        grace_s = instance_bodies.grace_s(await bodies.read(request, self._body_timeout_s))
        created = await self._services.tenancy.rotate_instance_token(instance, grace_s=grace_s, by=caller.actor)
        token = await self._services.directory.token(created.id)
        told = ToldInstance(*_told(instance, caller))
        return secret(TokenRotated(told_token(token), created.token, told), status=201)


def _told(instance: Instance, caller: AdminCaller) -> tuple[str, str, str, ToldUpstream]:
    return instance.id, instance.name, ACTIVE, told_target(instance.target, to_operator=caller.is_operator)
