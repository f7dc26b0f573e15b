"""`/admin/.../instances`: the instances of any account, with their connection and where their sessions live."""

from aiohttp import web

from gateway.api import bodies, instance_bodies
from gateway.api.admin import bodies as admin_bodies
from gateway.api.admin.gate import Visitor
from gateway.api.admin.tokens import told_token
from gateway.api.instances import described, secret, told_target
from gateway.presence.model import Instance
from gateway.process import envelope
from gateway.tenants.views import AccountFacts
from gateway.wiring import House


class InstanceRoutes:
    """Instances, for the operator and for the account that has them."""

    def __init__(self, house: House) -> None:
        """Work on the house's directory."""
        self._house = house
        self._body_timeout_s = house.settings.http.body_timeout_s

    async def list_instances(self, request: web.Request, visitor: Visitor, account: AccountFacts) -> web.Response:  # noqa: ARG002
        """List an account's instances."""
        found = await self._house.directory.instances(account.id)
        states = await self._house.connections.of(found)
        listed = [
            {**_told(instance, visitor), "connection": {"state": state.value}}
            for instance, state in zip(found, states, strict=True)
        ]
        return envelope.success({"instances": listed})

    async def create(self, request: web.Request, visitor: Visitor, account: AccountFacts) -> web.Response:
        """Make an instance; the upstream that an operator names is trusted, a tenant's is held to the rules."""
        body = await bodies.read(request, self._body_timeout_s)
        wanted = instance_bodies.new_instance(body, trusted=visitor.is_operator)
        if wanted.upstream is not None:
            await self._house.policy.check(wanted.upstream)
        created = await self._house.directory.create_instance(
            account.id,
            wanted.name,
            upstream=wanted.upstream,
            session=wanted.session,
            token=wanted.token,
            by=visitor.actor,
        )
        instance = await self._house.directory.instance_by_id(created.id)
        return secret(
            {"instance": {**_told(instance, visitor), "token": created.token}, "secret": created.token}, status=201
        )

    async def move(self, request: web.Request, visitor: Visitor, instance: Instance) -> web.Response:
        """Give an instance an upstream of its own; what it owes where it was is paused there."""
        upstream = admin_bodies.upstream(await bodies.read(request, self._body_timeout_s))
        await self._house.moves.move_instance(instance.id, upstream, by=visitor.actor)
        return envelope.success({"instance": _told(await self._house.directory.instance_by_id(instance.id), visitor)})

    async def delete(self, request: web.Request, visitor: Visitor, instance: Instance) -> web.Response:
        """Delete an instance, where its name is given again."""
        admin_bodies.confirm(await bodies.read(request, self._body_timeout_s), instance.name)
        await self._house.removal.delete_instance(instance, by=visitor.actor)
        return envelope.success({"instance": {"id": instance.id, "name": instance.name, "status": "deleted"}})

    async def rotate_token(self, request: web.Request, visitor: Visitor, instance: Instance) -> web.Response:
        """Replace the instance's token; the old one lives for the grace time."""
        grace_s = instance_bodies.grace_s(await bodies.read(request, self._body_timeout_s))
        created = await self._house.tenancy.rotate_instance_token(instance, grace_s=grace_s, by=visitor.actor)
        token = await self._house.directory.token(created.id)
        return secret(
            {"instance": _told(instance, visitor), "token": told_token(token), "secret": created.token}, status=201
        )


def _told(instance: Instance, visitor: Visitor) -> dict[str, object]:
    return {**described(instance), "upstream": told_target(instance.target, to_operator=visitor.is_operator)}
