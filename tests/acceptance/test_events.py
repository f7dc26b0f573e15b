"""8. Events in: a message that the upstream reports ends its indicator, with real processes all the way."""

import asyncio

from acceptance.answers import assert_enveloped, assert_error
from acceptance.caller import Client, jid
from installation import Installation
from operated import Tenant


async def test_a_message_ends_its_indicator_and_nothing_is_shown_after_it(
    client: Client, tenant: Tenant, number: str
) -> None:
    assert (await client.show(tenant, number, "typing", 60)).status == 200
    await asyncio.sleep(3)
    answer = await client.report_message(tenant, number)
    assert_enveloped(answer)
    assert answer.body == {"success": True, "message": "Event received"}
    # Paused before the answer: the message is on its way, and what is shown after it would be wrong.
    assert [call.state for call in await client.calls_for(jid(number))] == ["typing", "paused"]
    assert await client.stays_paused(jid(number))
    assert [call.state for call in await client.calls_for(jid(number))] == ["typing", "paused"]


async def test_what_is_typed_after_the_message_stands(client: Client, tenant: Tenant, number: str) -> None:
    assert (await client.show(tenant, number, "typing", 60)).status == 200
    assert (await client.report_message(tenant, number)).status == 200
    assert (await client.show(tenant, number, "typing", 60)).status == 200
    await client.wait_for_calls(jid(number), 4, within=8)
    assert [call.state for call in await client.calls_for(jid(number))] == ["typing", "paused", "typing", "typing"]


async def test_events_are_counted_apart(client: Client, tenant: Tenant, number: str) -> None:
    told = [(await client.report_message(tenant, number)).headers["X-RateLimit-Limit"] for _ in range(2)]
    assert told == ["1200", "1200"]


async def test_what_is_no_object_is_refused_and_an_instance_is_only_its_own(
    client: Client, installation: Installation, tenant: Tenant
) -> None:
    path = f"/api/events/presence/{tenant.instance}"
    headers = {"token": tenant.instance_token}
    assert_error(await client.request("POST", path, headers=headers, data=b"[]"), 400, "Invalid request body")
    assert_error(await client.request("POST", path, headers=headers, data=b"{"), 400, "Invalid request body")
    other = await asyncio.to_thread(installation.create_tenant)
    answer = await client.request("POST", path, headers={"token": other.instance_token}, data=b"{}")
    assert_error(answer, 403, "Instance token does not match the requested instance")
