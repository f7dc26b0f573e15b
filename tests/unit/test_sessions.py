"""Who asks for the states of many sessions waits for itself, not others for them."""

import asyncio
from dataclasses import dataclass, field

from gateway.presence.model import Instance, Target
from gateway.upstreams.base import Connection
from gateway.upstreams.sessions import Connections


@dataclass
class Upstreams:
    """Sessions that hang, but for the bystander's."""

    asked: list[str] = field(default_factory=list)

    async def connection(self, target: Target, *, timeout_s: float) -> Connection:
        self.asked.append(target.session)
        if target.account_id != "bystander":
            await asyncio.sleep(timeout_s)
            return Connection.UNKNOWN
        return Connection.CONNECTED


def instances(account_id: str, count: int) -> list[Instance]:
    names = [f"{account_id}-{number}" for number in range(count)]
    return [
        Instance(name, account_id, name, Target("wuzapi", "http://h", name, account_id=account_id)) for name in names
    ]


async def test_a_list_of_a_hundred_sessions_that_hang_hides_nobody_elses_state() -> None:
    connections = Connections(Upstreams())  # type: ignore[arg-type]
    hanging = asyncio.create_task(connections.of(instances("attacker", 100), patience_s=0.2))
    await asyncio.sleep(0)
    assert await connections.of(instances("bystander", 20), patience_s=0.2) == [Connection.CONNECTED] * 20
    assert await hanging == [Connection.UNKNOWN] * 100
    await connections.close()
