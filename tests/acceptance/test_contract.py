"""The HTTP contract, row by row, as a caller from outside sees it. Each docstring names its row of the contract."""

import asyncio
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable

import pytest
import requests
from acceptance.answers import Answer, assert_enveloped, assert_error, assert_quota
from acceptance.caller import NOISE_S, UPSTREAM_TIMEOUT_S, Client, jid, new_number
from installation import Installation
from operated import PLENTY, Tenant

MISSING = "Missing token in header, Authorization header, or query parameter"
INVALID_TOKEN = "Invalid token"
NOT_FOUND = "Instance not found"
MISMATCH = "Instance token does not match the requested instance"
LIMITED = "Rate limit exceeded. Try again later."
INVALID_BODY = "Invalid request body"
NUMBER_REQUIRED = "Number is required"
STATE_REQUIRED = "State is required. Use 'typing', 'recording', or 'pause'"
INVALID_STATE = "Invalid state. Use 'typing', 'recording', or 'pause'"
INVALID_NUMBER = "Invalid number"
INVALID_DURATION = "Invalid duration. Use an integer from 0 to 60"

SMALL_LIMIT = 5

Exhausted = tuple[str, Answer]


@pytest.fixture(scope="module")
def small(installation: Installation) -> Tenant:
    """A tenant with a limit that is soon used up; each test issues a token, and so a quota, of its own."""
    return installation.create_tenant(per_minute=SMALL_LIMIT)


@pytest.fixture
async def exhausted(installation: Installation, small: Tenant, client: Client) -> Exhausted:
    """A token that has used its minute up, and the first answer it got."""
    _, token = await asyncio.to_thread(installation.issue_token, small.account)
    answers = [
        await client.post(small.instance, {"number": new_number(), "state": "pause"}, token=token)
        for _ in range(SMALL_LIMIT)
    ]
    assert [answer.status for answer in answers] == [200] * SMALL_LIMIT
    return token, answers[0]


# 4. Success


@pytest.mark.parametrize("state", ["typing", "recording"])
async def test_an_indicator_with_a_duration_is_confirmed_with_the_moment_of_its_pause(
    client: Client, tenant: Tenant, number: str, state: str
) -> None:
    """4. Success with a duration."""
    answer = await client.show(tenant, number, state, 5)

    assert answer.status == 200
    assert_enveloped(answer)
    assert (
        answer.body
        | {
            "success": True,
            "message": f"Presence '{state}' sent successfully (will auto-pause after 5 seconds)",
            "chat_jid": jid(number),
            "state": state,
            "duration": 5,
        }
        == answer.body
    )
    assert type(answer.body["duration"]) is int


@pytest.mark.parametrize("state", ["typing", "recording", "pause", "paused"])
async def test_without_a_duration_nothing_is_said_about_a_pause(
    client: Client, tenant: Tenant, number: str, state: str
) -> None:
    """4. Success without a duration, or with `pause`; `paused` answers `paused`."""
    answer = await client.show(tenant, number, state)

    assert answer.status == 200
    assert_enveloped(answer)
    assert (
        answer.body
        | {
            "message": f"Presence '{state}' sent successfully",
            "chat_jid": jid(number),
            "state": state,
            "duration": 0,
        }
        == answer.body
    )


async def test_duration_zero_means_no_duration(client: Client, tenant: Tenant, number: str) -> None:
    """4. duration: default 0."""
    answer = await client.show(tenant, number, "typing", 0)

    assert (answer.status, answer.body["duration"]) == (200, 0)
    assert answer.body["message"] == "Presence 'typing' sent successfully"


@pytest.mark.parametrize(("sent", "told"), [("TYPING", "typing"), ("Recording", "recording"), ("pAuSeD", "paused")])
async def test_a_state_may_be_written_in_any_letter_case(
    client: Client, tenant: Tenant, number: str, sent: str, told: str
) -> None:
    """4. state: any letter case, and the answer has it lower-cased."""
    answer = await client.show(tenant, number, sent)

    assert (answer.status, answer.body["state"]) == (200, told)
    assert answer.body["message"] == f"Presence '{told}' sent successfully"


@pytest.mark.parametrize("asked", [61, 300, 2**31, 10**18])
async def test_a_duration_above_60_is_truncated_not_refused(
    client: Client, tenant: Tenant, number: str, asked: int
) -> None:
    """4. duration: above 60 it is truncated to 60."""
    answer = await client.show(tenant, number, "typing", asked)
    await client.show(tenant, number, "pause")

    assert (answer.status, answer.body["duration"]) == (200, 60)
    assert answer.body["message"] == "Presence 'typing' sent successfully (will auto-pause after 60 seconds)"


async def test_one_second_reads_as_the_template_does(client: Client, tenant: Tenant, number: str) -> None:
    """4. One second reads `1 seconds`."""
    answer = await client.show(tenant, number, "typing", 1)

    assert answer.body["message"] == "Presence 'typing' sent successfully (will auto-pause after 1 seconds)"


@pytest.mark.parametrize("state", ["pause", "paused"])
async def test_a_duration_is_ignored_for_a_pause(client: Client, tenant: Tenant, number: str, state: str) -> None:
    """4. duration: ignored for `pause`/`paused`."""
    answer = await client.show(tenant, number, state, 5)

    assert (answer.status, answer.body["duration"]) == (200, 0)
    assert answer.body["message"] == f"Presence '{state}' sent successfully"


async def test_unknown_fields_are_ignored(client: Client, tenant: Tenant, number: str) -> None:
    """4. Unknown fields are ignored."""
    body = {"number": number, "state": "pause", "delay": "soon", "options": {"deep": [1, None]}}
    answer = await client.post(tenant.instance, body, token=tenant.instance_token)

    assert answer.status == 200


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", "nonsense"]
)
async def test_the_content_type_is_not_looked_at(
    client: Client, tenant: Tenant, number: str, content_type: str
) -> None:
    """4. 400 row: the `Content-Type` is not looked at."""
    answer = await client.post(
        tenant.instance,
        {"number": number, "state": "pause"},
        token=tenant.instance_token,
        headers={"Content-Type": content_type},
    )

    assert answer.status == 200


async def test_the_answer_never_waits_for_the_duration(client: Client, tenant: Tenant, number: str) -> None:
    """4.1 The answer comes within 1.5 s when the upstream is healthy."""
    answer = await client.show(tenant, number, "typing", 60)
    await client.show(tenant, number, "pause")

    assert answer.status == 200
    assert answer.took_s < 1.5


@pytest.mark.parametrize(
    ("asked", "applied"),
    [("typing", "typing"), ("recording", "recording"), ("pause", "paused"), ("paused", "paused")],
)
async def test_an_indicator_is_shown_at_once(
    client: Client, tenant: Tenant, number: str, asked: str, applied: str
) -> None:
    """4.1 Shown on the recipient's chat at once: the upstream has it before the caller has the answer."""
    answer = await client.show(tenant, number, asked)

    assert answer.status == 200
    assert [call.state for call in await client.calls_for(jid(number))] == [applied]


# 4. Errors


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"", INVALID_BODY, id="empty"),
        pytest.param(b'{"number": ', INVALID_BODY, id="malformed"),
        pytest.param(b'["typing"]', INVALID_BODY, id="not an object"),
        pytest.param(b"null", INVALID_BODY, id="null"),
        pytest.param({"number": 5511999999999, "state": "typing"}, INVALID_BODY, id="number of the wrong type"),
        pytest.param({"number": "5511999999999", "state": 1}, INVALID_BODY, id="state of the wrong type"),
        pytest.param({"number": "5511999999999", "state": "typing", "duration": "5"}, INVALID_BODY, id="a string"),
        pytest.param({"number": "5511999999999", "state": "typing", "duration": True}, INVALID_BODY, id="a bool"),
        pytest.param({"number": "5511999999999", "state": "typing", "duration": 5.5}, INVALID_BODY, id="not whole"),
        pytest.param({"number": "5511999999999", "state": "typing", "duration": [5]}, INVALID_BODY, id="a list"),
        pytest.param({"state": "typing"}, NUMBER_REQUIRED, id="number missing"),
        pytest.param({"number": "", "state": "typing"}, NUMBER_REQUIRED, id="number empty"),
        pytest.param({}, NUMBER_REQUIRED, id="everything missing"),
        pytest.param({"number": "5511999999999"}, STATE_REQUIRED, id="state missing"),
        pytest.param({"number": "5511999999999", "state": ""}, STATE_REQUIRED, id="state empty"),
        pytest.param({"number": "5511999999999", "state": "composing"}, INVALID_STATE, id="outside the enum"),
        pytest.param({"number": "5511999999999", "state": "stop"}, INVALID_STATE, id="no such state"),
        pytest.param({"number": "12ab", "state": "typing"}, INVALID_NUMBER, id="not a number"),
        pytest.param({"number": "5511999999999", "state": "typing", "duration": -1}, INVALID_DURATION, id="negative"),
    ],
)
async def test_a_bad_body_is_told_what_is_wrong(client: Client, tenant: Tenant, body: object, message: str) -> None:
    """4. The rows of 400."""
    answer = await client.post(tenant.instance, body, token=tenant.instance_token)

    assert_error(answer, 400, message)
    assert_quota(answer, PLENTY)


@pytest.mark.parametrize(
    ("fault", "details", "status", "message"),
    [
        pytest.param(
            "unsupported", {}, 501, "Presence 'recording' is not supported by this instance's upstream", id="501"
        ),
        pytest.param("status", {"status": 418}, 502, "Upstream rejected the request", id="502 rejected"),
        pytest.param("unauthorized", {}, 502, "Upstream rejected the request", id="502 bad credentials"),
        pytest.param("redirect", {}, 502, "Upstream rejected the request", id="502 redirect"),
        pytest.param("not_connected", {}, 503, "Instance is not connected to WhatsApp", id="503 not connected"),
        pytest.param("unknown_number", {}, 400, INVALID_NUMBER, id="400 unknown number"),
    ],
)
async def test_what_the_upstream_refuses_is_told_in_our_words(
    client: Client, tenant: Tenant, number: str, fault: str, details: dict[str, int], status: int, message: str
) -> None:
    """4. 501, 502, 503 not connected, 400 Invalid number."""
    await client.fault(tenant, fault, **details)
    try:
        answer = await client.show(tenant, number, "RECORDING", 3)
    finally:
        await client.fault(tenant, "none")

    assert_error(answer, status, message)
    assert_quota(answer, PLENTY)
    assert await client.calls_for(jid(number)) == []


@pytest.mark.parametrize("fault", ["garbage", "huge"])
async def test_an_upstream_that_answers_nonsense_never_becomes_an_internal_fault(
    client: Client, tenant: Tenant, number: str, fault: str
) -> None:
    """4. An upstream's nonsense is an answer or an error of the table, never a 500."""
    await client.fault(tenant, fault)
    try:
        answer = await client.show(tenant, number, "typing")
    finally:
        await client.fault(tenant, "none")

    assert answer.status in {200, 502, 503, 504}
    assert_enveloped(answer)
    assert_quota(answer, PLENTY)


async def test_an_upstream_that_does_not_answer_is_a_504(
    client: Client, installation: Installation, number: str
) -> None:
    """4. 504, no earlier than the upstream's own time and not much later."""
    tenant = await asyncio.to_thread(installation.create_tenant)
    await client.fault(tenant, "hang", count=1)

    answer = await client.show(tenant, number, "typing")

    assert_error(answer, 504, "Upstream did not answer in time")
    assert_quota(answer, PLENTY)
    assert UPSTREAM_TIMEOUT_S - 0.5 <= answer.took_s <= UPSTREAM_TIMEOUT_S + 1 + NOISE_S


async def test_an_upstream_that_refuses_connections_is_a_503_with_a_time_to_retry(
    client: Client, installation: Installation, number: str
) -> None:
    """4. 503 `Service temporarily unavailable`, with `Retry-After`."""
    with socket.socket() as nobody:  # bound, not listening: connections are refused
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        credential = f"credential-{secrets.token_hex(16)}"
        installation.secrets.add(credential)
        upstream = {"kind": "ryzeapi", "url": url, "session": "gone", "credential": credential}
        tenant = await asyncio.to_thread(installation.create_tenant, upstream=upstream)

        answer = await client.show(tenant, number, "typing", 2)

    assert_error(answer, 503, "Service temporarily unavailable")
    assert_quota(answer, PLENTY)
    assert re.fullmatch(r"[1-9]\d*", answer.headers["Retry-After"])


# 4.2 Numbers

DIGITS = "5511999999999"
CANONICAL = {
    DIGITS: jid(DIGITS),
    f"+{DIGITS}": jid(DIGITS),
    "+55 (11) 99999-9999": jid(DIGITS),
    "55.11.99999.9999": jid(DIGITS),
    f"{DIGITS}@s.whatsapp.net": jid(DIGITS),
    f"{DIGITS}@c.us": jid(DIGITS),
    f"{DIGITS}:12@s.whatsapp.net": jid(DIGITS),
    f"{DIGITS}:12@c.us": jid(DIGITS),
    "1234567": jid("1234567"),
    "123456789012345": jid("123456789012345"),
    "551188887777": jid("551188887777"),
    "120363025246125486@g.us": "120363025246125486@g.us",
    "5511999999999-1416598800@g.us": "5511999999999-1416598800@g.us",
    "98765432109876@lid": "98765432109876@lid",
    "98765432109876:3@lid": "98765432109876@lid",
    "120363144038483540@newsletter": "120363144038483540@newsletter",
    "status@broadcast": "status@broadcast",
}


@pytest.mark.parametrize(("spelling", "canonical"), CANONICAL.items(), ids=CANONICAL)
async def test_every_spelling_of_a_chat_becomes_its_one_canonical_jid(
    client: Client, tenant: Tenant, spelling: str, canonical: str
) -> None:
    """4.2 Accepted numbers and JIDs."""
    before = len(await client.calls_for(canonical))
    answer = await client.show(tenant, spelling, "pause")

    assert (answer.status, answer.body.get("chat_jid")) == (200, canonical)
    assert len(await client.calls_for(canonical)) == before + 1


@pytest.mark.parametrize(
    "spelling",
    [
        "123456",
        "1234567890123456",
        "hello",
        "+",
        "-- ()",
        "55 11 9999o-9999",
        "@s.whatsapp.net",
        "hello@s.whatsapp.net",
        "5511999999999@",
        "5511999999999@example.org",
        "5511999999999@s.whatsapp.net.example.org",
        "5511999999999@s.whatsapp.net@c.us",
        "5511999999999:x@s.whatsapp.net",
        "status@s.whatsapp.net",
        "everyone@broadcast",
        "@g.us",
        "@lid",
        "../admin@g.us",
        "５５１１９９９９９９９９９",  # noqa: RUF001 - digits, but not WhatsApp's
        "٥٥١١٩٩٩٩٩٩٩٩٩",
        "5511999999999\u0000",
        "5511999999999\r\nX: y",
    ],
)
async def test_what_whatsapp_could_not_have_is_an_invalid_number(client: Client, tenant: Tenant, spelling: str) -> None:
    """4.2, and 4: 400 `Invalid number`."""
    answer = await client.show(tenant, spelling, "typing")

    assert_error(answer, 400, INVALID_NUMBER)


# 2. Authentication

TRANSPORTS: dict[str, Callable[[str], tuple[dict[str, str], str]]] = {
    "header token": lambda token: ({"token": token}, ""),
    "header Authorization": lambda token: ({"Authorization": f"Bearer {token}"}, ""),
    "query token": lambda token: ({}, f"?token={token}"),
}


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("kind", ["account", "instance"])
async def test_both_kinds_of_token_work_in_all_three_places(
    client: Client, tenant: Tenant, number: str, transport: str, kind: str
) -> None:
    """2. Three ways to send a token."""
    token = tenant.account_token if kind == "account" else tenant.instance_token
    headers, query = TRANSPORTS[transport](token)
    answer = await client.post(
        tenant.instance + query, {"number": number, "state": "pause"}, token=None, headers=headers
    )

    assert answer.status == 200
    assert_quota(answer, PLENTY)


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        pytest.param({"token": "{good}", "Authorization": "Bearer {bad}"}, "{bad}", 200, id="token before Bearer"),
        pytest.param({"token": "{bad}", "Authorization": "Bearer {good}"}, "{good}", 401, id="token hides the others"),
        pytest.param({"Authorization": "Bearer {good}"}, "{bad}", 200, id="Bearer before query"),
        pytest.param({"Authorization": "Bearer {bad}"}, "{good}", 401, id="Bearer hides the query"),
        pytest.param({"Authorization": "Basic Zm9vOmJhcg=="}, "{good}", 200, id="another scheme is no token"),
        pytest.param({"Authorization": "bearer {good}"}, None, 200, id="a scheme has no letter case"),
        pytest.param({"TOKEN": "{good}"}, None, 200, id="a header has no letter case"),
    ],
)
async def test_the_first_place_that_holds_a_token_decides(
    client: Client, tenant: Tenant, number: str, headers: dict[str, str], query: str | None, status: int
) -> None:
    """2. ...tried in this order."""

    def filled(text: str) -> str:
        return text.format(good=tenant.instance_token, bad="pgi_bad")

    answer = await client.post(
        tenant.instance + (f"?token={filled(query)}" if query else ""),
        {"number": number, "state": "pause"},
        token=None,
        headers={name: filled(value) for name, value in headers.items()},
    )

    assert answer.status == status
    if status == 401:
        assert_error(answer, 401, INVALID_TOKEN)


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Basic Zm9vOmJhcg=="}, {"x-api-key": "something"}],
    ids=["nothing", "another scheme", "another header"],
)
async def test_no_token_at_all_is_a_401_that_says_where_to_put_it(
    guesser: Client, tenant: Tenant, headers: dict[str, str]
) -> None:
    """2. No token at all."""
    answer = await guesser.post(tenant.instance, {"number": DIGITS, "state": "pause"}, token=None, headers=headers)

    assert_error(answer, 401, MISSING)


@pytest.mark.parametrize(
    "token",
    ["x", "pga_", "pgi_0", "a" * 43, "pga_" + "A" * 50, "<script>", "'; DROP TABLE", "t\u00f6ken", "x" * 3000],
    ids=lambda token: token[:12],
)
async def test_an_unknown_or_malformed_token_is_a_401(guesser: Client, tenant: Tenant, token: str) -> None:
    """2. Unknown or malformed token."""
    answer = await guesser.post(tenant.instance, {"number": DIGITS, "state": "pause"}, token=token)

    assert_error(answer, 401, INVALID_TOKEN)


async def test_a_token_with_one_letter_changed_is_a_401(guesser: Client, tenant: Tenant) -> None:
    """2. Unknown token: near a real one."""
    last = "a" if tenant.account_token[-1] != "a" else "b"
    answer = await guesser.post(
        tenant.instance, {"number": DIGITS, "state": "pause"}, token=tenant.account_token[:-1] + last
    )

    assert_error(answer, 401, INVALID_TOKEN)


async def test_a_revoked_token_is_a_401_from_then_on_and_its_sister_goes_on(
    client: Client, installation: Installation, tenant: Tenant, number: str
) -> None:
    """2. Revoked token."""
    identity, token = await asyncio.to_thread(installation.issue_token, tenant.account)
    body = {"number": number, "state": "pause"}
    before = await client.post(tenant.instance, body, token=token)
    await asyncio.to_thread(installation.command, "token", "revoke", identity)

    revoked = await client.post(tenant.instance, body, token=token)
    sister = await client.post(tenant.instance, body, token=tenant.account_token)

    assert before.status == 200
    assert_error(revoked, 401, INVALID_TOKEN)
    assert sister.status == 200


async def test_an_instance_token_where_only_an_account_token_will_do_is_a_401(client: Client, tenant: Tenant) -> None:
    """2. `Invalid account token`; the routes that ask for one are the contract's section 5."""
    answer = await client.request(
        "POST", "/api/instance/new", headers={"token": tenant.instance_token}, data=b'{"name": "never-made"}'
    )

    assert_error(answer, 401, "Invalid account token")
    assert_quota(answer)


async def test_an_instance_token_on_any_other_instance_is_a_403_whether_it_exists_or_not(
    client: Client, installation: Installation, tenant: Tenant, stranger: Tenant
) -> None:
    """2. 403; and a tenant never learns whether another tenant's instance exists."""
    sister, _ = await asyncio.to_thread(installation.create_instance, tenant.account)
    body = {"number": DIGITS, "state": "typing"}
    answers = [
        await client.post(name, body, token=tenant.instance_token)
        for name in (sister, stranger.instance, "no-such-instance")
    ]

    for answer in answers:
        assert_error(answer, 403, MISMATCH)
        assert_quota(answer, PLENTY)
    assert len({answer.raw for answer in answers}) == 1


async def test_a_foreign_instance_and_one_that_does_not_exist_are_the_same_404_byte_for_byte(
    client: Client, tenant: Tenant, stranger: Tenant
) -> None:
    """2. 404; and a tenant never learns whether another tenant's instance exists."""
    body = {"number": DIGITS, "state": "typing"}
    foreign = await client.post(stranger.instance, body, token=tenant.account_token)
    nowhere = await client.post("no-such-instance", body, token=tenant.account_token)

    for answer in (foreign, nowhere):
        assert_error(answer, 404, NOT_FOUND)
        assert_quota(answer, PLENTY)
    assert foreign.raw == nowhere.raw
    varying = {"date", "x-request-id", "x-ratelimit-remaining", "x-ratelimit-reset"}
    told = [
        [(name.lower(), value) for name, value in answer.headers.items() if name.lower() not in varying]
        for answer in (foreign, nowhere)
    ]
    assert told[0] == told[1]


async def test_an_account_token_works_on_every_instance_of_its_account(
    client: Client, installation: Installation, tenant: Tenant, number: str
) -> None:
    """2. Scope of a `TokenAccount`."""
    sister, _ = await asyncio.to_thread(installation.create_instance, tenant.account)
    answers = [
        await client.post(name, {"number": number, "state": "pause"}, token=tenant.account_token)
        for name in (tenant.instance, sister)
    ]

    assert [answer.status for answer in answers] == [200, 200]


async def test_the_instance_in_the_path_is_url_decoded(
    client: Client, installation: Installation, tenant: Tenant, number: str
) -> None:
    """4. `{instance}` is the URL-decoded instance name."""
    name = f"my.shop_{secrets.token_hex(3)}-1"
    await asyncio.to_thread(installation.create_instance, tenant.account, name=name)
    answer = await client.post(
        "".join(f"%{ord(letter):02X}" for letter in name),
        {"number": number, "state": "pause"},
        token=tenant.account_token,
    )

    assert answer.status == 200


# 3. Rate limit


async def test_every_authenticated_answer_carries_the_three_headers_and_counts_one(
    client: Client, installation: Installation, small: Tenant
) -> None:
    """3. The headers, errors included; a bad body counts, a wrong instance counts."""
    _, token = await asyncio.to_thread(installation.issue_token, small.account)
    good = {"number": new_number(), "state": "pause"}
    answers = [
        await client.post(small.instance, good, token=token),
        await client.post(small.instance, b"{", token=token),
        await client.post("no-such-instance", good, token=token),
        await client.post(small.instance, {"number": "x", "state": "pause"}, token=token),
        await client.post(small.instance, good, token=token),
    ]

    for answer in answers:
        assert_quota(answer, SMALL_LIMIT)
    assert [answer.status for answer in answers] == [200, 400, 404, 400, 200]
    assert [answer.remaining for answer in answers] == [4, 3, 2, 1, 0]


async def test_the_default_limit_is_100_a_minute_for_both_kinds_of_token(
    client: Client, installation: Installation, number: str
) -> None:
    """3. Class Global: 100 requests per minute per token."""
    tenant = await asyncio.to_thread(lambda: installation.create_tenant(per_minute=None))
    body = {"number": number, "state": "pause"}
    answers = [
        await client.post(tenant.instance, body, token=token) for token in (tenant.account_token, tenant.instance_token)
    ]

    for answer in answers:
        assert_quota(answer, 100)
        assert answer.remaining == 99, "each token has a bucket of its own"


async def test_over_the_limit_is_a_429_with_the_headers_and_a_time_to_retry(
    client: Client, small: Tenant, exhausted: Exhausted
) -> None:
    """3. 429."""
    token, first = exhausted
    answer = await client.post(small.instance, {"number": new_number(), "state": "pause"}, token=token)

    assert_error(answer, 429, LIMITED)
    assert_quota(answer, SMALL_LIMIT)
    assert answer.remaining == 0
    assert re.fullmatch(r"[1-9]\d*", answer.headers["Retry-After"])
    assert time.time() + int(answer.headers["Retry-After"]) >= answer.reset - 1
    assert int(answer.headers["Retry-After"]) <= 61
    assert abs(answer.reset - first.reset) <= 1, "the first request's slot is the one that frees"


async def test_a_refused_request_costs_nothing_upstream_and_does_not_push_reset_away(
    client: Client, small: Tenant, exhausted: Exhausted, number: str
) -> None:
    """3. A request refused with 429."""
    token, _ = exhausted
    answers = []
    for _ in range(4):
        answers.append(await client.post(small.instance, {"number": number, "state": "typing"}, token=token))
        await asyncio.sleep(0.4)

    assert [answer.status for answer in answers] == [429] * 4
    assert len({answer.reset for answer in answers}) == 1
    assert await client.calls_for(jid(number)) == []


async def test_one_token_has_one_bucket_wherever_it_is_put(client: Client, small: Tenant, exhausted: Exhausted) -> None:
    """3. Everyone using the same token shares one bucket."""
    token, _ = exhausted
    body = {"number": new_number(), "state": "pause"}
    answers = []
    for transport in TRANSPORTS.values():
        headers, query = transport(token)
        answers.append(await client.post(small.instance + query, body, token=None, headers=headers))

    assert [answer.status for answer in answers] == [429] * 3


async def test_one_exhausted_token_leaves_its_sisters_alone(
    client: Client, installation: Installation, small: Tenant, exhausted: Exhausted
) -> None:
    """3. Per token."""
    token, _ = exhausted
    _, sister = await asyncio.to_thread(installation.issue_token, small.account)
    body = {"number": new_number(), "state": "pause"}

    assert (await client.post(small.instance, body, token=token)).status == 429
    assert (await client.post(small.instance, body, token=sister)).status == 200


async def test_the_checks_come_in_the_promised_order(
    client: Client, guesser: Client, tenant: Tenant, small: Tenant, exhausted: Exhausted
) -> None:
    """3. 401, then 429, then 403/404, then 400."""
    token, _ = exhausted

    assert_error(await guesser.post(small.instance, b"{", token="pga_bad"), 401, INVALID_TOKEN)
    assert_error(await guesser.post("no-such-instance", b"{", token=None), 401, MISSING)
    assert_error(await client.post("no-such-instance", b"{", token=token), 429, LIMITED)
    assert_error(await client.post(small.instance, b"{", token=token), 429, LIMITED)
    assert_error(await client.post("no-such-instance", b"{", token=tenant.account_token), 404, NOT_FOUND)
    assert_error(await client.post("no-such-instance", b"{", token=tenant.instance_token), 403, MISMATCH)


async def test_a_bad_body_is_a_400_before_the_upstream_is_asked(client: Client, tenant: Tenant, number: str) -> None:
    """3. ...then 400, then 503/upstream errors."""
    await client.fault(tenant, "not_connected")
    try:
        answer = await client.show(tenant, number, "dancing")
    finally:
        await client.fault(tenant, "none")

    assert_error(answer, 400, INVALID_STATE)


async def test_guessing_tokens_is_limited_by_address(
    client: Client, guesser: Client, tenant: Tenant, number: str
) -> None:
    """3. Unauthenticated guessing is limited too, per client address."""
    body = {"number": number, "state": "pause"}
    statuses: list[int] = []
    while len(statuses) < 1000 and 429 not in statuses:
        guesses = [guesser.post(tenant.instance, body, token=f"pga_{secrets.token_urlsafe(40)}") for _ in range(20)]
        answers = await asyncio.gather(*guesses)
        statuses += [answer.status for answer in answers]

    assert 429 in statuses, "1000 guesses in a row were all answered"
    assert set(statuses) == {401, 429}
    refused = next(answer for answer in answers if answer.status == 429)
    assert_error(refused, 429, LIMITED)
    assert (await client.show(tenant, number, "pause")).status == 200, "another address is not concerned"


# 1. Envelope


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/chat/presence", "/nothing", "/api/chat/presence/x/y", "/admin/accounts", "/metrics"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_unknown_route_is_a_404_in_the_envelope(
    client: Client, tenant: Tenant, method: str, path: str
) -> None:
    """1. Unknown routes (404); the operator's doors are not on this port."""
    answer = await client.request(method, path, headers={"token": tenant.account_token})

    assert answer.status == 404
    assert_enveloped(answer)


async def test_an_unknown_route_is_a_404_without_a_token_too(client: Client) -> None:
    """1. Unknown routes (404)."""
    answer = await client.request("GET", "/nothing")

    assert answer.status == 404
    assert_enveloped(answer)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
async def test_a_wrong_method_is_a_405_in_the_envelope(client: Client, tenant: Tenant, method: str) -> None:
    """1. Wrong methods (405)."""
    answer = await client.request(
        method, f"/api/chat/presence/{tenant.instance}", headers={"token": tenant.account_token}
    )

    assert answer.status == 405
    assert_enveloped(answer)
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize("sized", [True, False], ids=["with its length", "in chunks"])
async def test_an_oversized_body_is_a_413_in_the_envelope(client: Client, tenant: Tenant, *, sized: bool) -> None:
    """1. Oversized bodies (413)."""
    body = json.dumps({"number": DIGITS, "state": "typing", "padding": "x" * 64_000}).encode()

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    answer = await client.request(
        "POST",
        f"/api/chat/presence/{tenant.instance}",
        headers={"token": tenant.instance_token},
        data=body if sized else chunks(),
    )

    assert answer.status == 413
    assert_enveloped(answer)
    assert_quota(answer, PLENTY)


async def test_a_bad_token_is_told_before_an_oversized_body(guesser: Client, tenant: Tenant) -> None:
    """3. Order of checks: 401 first."""
    answer = await guesser.post(tenant.instance, b"x" * 20_000, token="pga_bad")

    assert_error(answer, 401, INVALID_TOKEN)


@pytest.mark.parametrize("path", ["/api/chat/presence/{}/", "//api/chat/presence/{}", "/api/chat//presence/{}"])
async def test_no_answer_is_a_redirect(client: Client, tenant: Tenant, number: str, path: str) -> None:
    """1. No redirects, ever: served, or 404."""
    answer = await client.request(
        "POST",
        path.format(tenant.instance),
        headers={"token": tenant.instance_token},
        data=json.dumps({"number": number, "state": "pause"}).encode(),
    )

    assert answer.status in {200, 404}
    assert_enveloped(answer)
    assert "Location" not in answer.headers


async def test_a_sane_request_id_is_taken_from_the_caller(client: Client, tenant: Tenant, number: str) -> None:
    """1. `X-Request-Id`, on success and on error."""
    mine = str(uuid.uuid4())
    good = await client.post(
        tenant.instance,
        {"number": number, "state": "pause"},
        token=tenant.instance_token,
        headers={"X-Request-Id": mine},
    )
    bad = await client.request("GET", "/nothing", headers={"X-Request-Id": mine})

    assert (good.status, good.headers["X-Request-Id"]) == (200, mine)
    assert (bad.status, bad.headers["X-Request-Id"]) == (404, mine)


async def test_without_one_every_request_gets_an_id_of_its_own(client: Client) -> None:
    """1. ...else made."""
    made = [(await client.request("GET", "/nothing")).headers["X-Request-Id"] for _ in range(5)]

    assert len(set(made)) == 5


@pytest.mark.parametrize(
    "insane",
    ["x" * 3000, 'a" onload="b', "a b\tc", "<b>", "\u00e9", "${jndi:ldap://x}", ""],
    ids=["long", "quotes", "blanks", "markup", "not ASCII", "lookup", "empty"],
)
async def test_an_insane_request_id_is_replaced(client: Client, insane: str) -> None:
    """1. ...taken from the caller when it is sane."""
    answer = await client.request("GET", "/nothing", headers={"X-Request-Id": insane})

    assert re.fullmatch(r"[\w.:-]{8,128}", answer.headers["X-Request-Id"])


async def test_health_asks_for_no_token(client: Client) -> None:
    """5. `GET /health`."""
    answer = await client.request("GET", "/health")

    assert answer.status == 200
    assert {"status", "version", "service"} <= set(answer.body)


async def test_browsers_of_other_origins_are_not_invited(client: Client, tenant: Tenant, number: str) -> None:
    """CORS is off by default."""
    answer = await client.post(
        tenant.instance,
        {"number": number, "state": "pause"},
        token=tenant.instance_token,
        headers={"Origin": "https://example.org"},
    )

    assert answer.status == 200
    assert [name for name in answer.headers if name.lower().startswith("access-control-")] == []


# The documented examples, with only the base URL changed

DOCUMENTED_BASE = "https://ryzeapi.cloud"
DOCUMENTED_JID = jid("5511999999999")

CURL = """
curl --silent --fail "https://ryzeapi.cloud/api/chat/presence/$INSTANCE" --header "token: $TOKEN" \\
  --header 'Content-Type: application/json' --data "$BODY"
"""
JAVASCRIPT = """
const { INSTANCE, TOKEN: token, BODY: body } = process.env;
const headers = { token, "Content-Type": "application/json" };
const answer = await fetch("https://ryzeapi.cloud/api/chat/presence/" + INSTANCE, { method: "POST", headers, body });
process.exit(answer.ok ? 0 : 1);
"""
PYTHON = """
import json, requests
from os import environ
url = "https://ryzeapi.cloud/api/chat/presence/" + environ["INSTANCE"]
requests.post(url, json=json.loads(environ["BODY"]), headers={"token": environ["TOKEN"]}).raise_for_status()
"""
TYPING: dict[str, object] = {"number": "5511999999999", "state": "typing", "duration": 5}
RECORDING: dict[str, object] = {"number": "5511999999999", "state": "recording"}
PAUSE: dict[str, object] = {"number": "5511999999999", "state": "pause"}
EXAMPLES: dict[str, tuple[list[str], str, dict[str, object], str]] = {
    "cURL": (["bash", "-c"], CURL, TYPING, "typing"),
    "cURL, recording": (["bash", "-c"], CURL, RECORDING, "recording"),
    "cURL, pause": (["bash", "-c"], CURL, PAUSE, "paused"),
    "JavaScript": (["node", "--input-type=module", "-e"], JAVASCRIPT, TYPING, "typing"),
    "Python": ([sys.executable, "-c"], PYTHON, TYPING, "typing"),
}


def run_example(command: list[str], script: str, body: dict[str, object], url: str, tenant: Tenant) -> None:
    done = subprocess.run(
        [*command, script.replace(DOCUMENTED_BASE, url)],
        env=os.environ | {"INSTANCE": tenant.instance, "TOKEN": tenant.instance_token, "BODY": json.dumps(body)},
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("language", EXAMPLES)
async def test_the_documented_examples_work_with_only_the_base_url_changed(
    client: Client, installation: Installation, tenant: Tenant, language: str
) -> None:
    """4. The requests that the endpoint's documentation shows, in its three languages."""
    command, script, body, state = EXAMPLES[language]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed; the request it would make is asserted in the next test")
    before = len(await client.calls_for(DOCUMENTED_JID))

    await asyncio.to_thread(run_example, command, script, body, installation.url, tenant)
    applied = await client.calls_for(DOCUMENTED_JID)
    await client.show(tenant, "5511999999999", "pause")

    assert applied[before].state == state


def test_the_requests_of_the_documented_clients_work(installation: Installation, tenant: Tenant) -> None:
    """4. The same as `fetch` puts it on the wire (for machines without Node), and `requests` in this process."""
    url = f"{installation.url}/api/chat/presence/{tenant.instance}"
    body = '{"number":"5511999999999","state":"typing","duration":5}'
    like_fetch = {"Accept": "*/*", "Accept-Language": "*", "Sec-Fetch-Mode": "cors", "User-Agent": "node"}
    headers = {"token": tenant.instance_token, "Content-Type": "application/json"}

    answers = [
        requests.post(url, headers=headers | like_fetch, data=body, timeout=10, allow_redirects=False),
        requests.post(url, headers=headers, json=json.loads(body), timeout=10, allow_redirects=False),
        requests.post(
            url, headers=headers, json={"number": "5511999999999", "state": "pause"}, timeout=10, allow_redirects=False
        ),
    ]

    assert [answer.status_code for answer in answers] == [200] * 3
    assert (
        answers[0].json()
        == {
            "success": True,
            "message": "Presence 'typing' sent successfully (will auto-pause after 5 seconds)",
            "chat_jid": DOCUMENTED_JID,
            "state": "typing",
            "duration": 5,
        }
        | answers[0].json()
    )


def test_the_operators_commands_make_a_tenant_and_send_as_it(installation: Installation, number: str) -> None:
    """The operator's `send` is a caller like any other."""
    account = f"typed-{secrets.token_hex(4)}"
    token = str(installation.command("account", "create", account)["token"])
    installation.secrets |= {token, str(installation.command("instance", "create", account, "sales")["token"])}
    told = installation.command(
        "send",
        "--url",
        installation.url,
        "--token",
        token,
        "sales",
        number,
        "typing",
        "--duration",
        "1",
    )

    assert (told["success"], told["chat_jid"], told["duration"]) == (True, jid(number), 1)
