"""Reports messages to whoever asked for them, as real upstreams do: in the background, and once."""

import asyncio
from typing import Annotated

import aiohttp
import msgspec
import structlog

from gateway.sandbox.phone import Message

_TIMEOUT = aiohttp.ClientTimeout(total=10)
_MOST = 1_000
"""Instances with a webhook, and reports under way; what is more is not reported."""

_log = structlog.get_logger()


class Webhook(msgspec.Struct, frozen=True):
    """Where an instance's messages are reported; '' for nowhere."""

    instance: str
    url: Annotated[str, msgspec.Meta(max_length=2000, pattern=r"^(https?://.+)?$")]


class Webhooks:
    """The addresses, by instance."""

    def __init__(self) -> None:
        """Report to nobody yet."""
        self._urls: dict[str, str] = {}
        self._http: aiohttp.ClientSession | None = None
        self._reports: set[asyncio.Task[None]] = set()

    def order(self, webhook: Webhook) -> None:
        """Report to this address in the place of an earlier one."""
        self._urls.pop(webhook.instance, None)
        if webhook.url and len(self._urls) < _MOST:
            self._urls[webhook.instance] = webhook.url

    def report(self, message: Message) -> None:
        """Report a message; never waits."""
        url = self._urls.get(message.instance)
        if url is None or len(self._reports) >= _MOST:
            return
        report = asyncio.create_task(self._post(url, message))
        self._reports.add(report)
        report.add_done_callback(self._reports.discard)

    async def close(self) -> None:
        """Give up what is under way."""
        for report in self._reports:
            report.cancel()
        await asyncio.gather(*self._reports, return_exceptions=True)
        if self._http is not None:
            await self._http.close()

    async def _post(self, url: str, message: Message) -> None:
        """Post the shape that the gateway's adapter `sandbox` reads; its address holds a token, and is not logged."""
        event = {
            "event": "message",
            "from_me": True,
            "id": message.id,
            "chat": message.chat,
            "text": message.text,
            "timestamp": message.at,
        }
        self._http = self._http or aiohttp.ClientSession(timeout=_TIMEOUT)
        try:
            async with self._http.post(url, json=event, allow_redirects=False) as response:
                if not response.ok:
                    _log.warning("message_not_reported", instance=message.instance, status=response.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            _log.warning("message_not_reported", instance=message.instance, error=type(error).__name__)
