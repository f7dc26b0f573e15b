"""A client of RyzeAPI, written from docs.ryzeapi.cloud: it knows a base URL, an instance and a token, nothing of us."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import aiohttp
from fakes.ryzeapi_rest import pieces


class Said(NamedTuple):
    """What the API said."""

    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True)
class RyzeapiClient:
    """The documented calls, each as its page shows it."""

    base_url: str
    instance: str
    token: str
    http: aiohttp.ClientSession

    async def presence(self, number: str, state: str, duration: int) -> Said:
        return await self._post("chat/presence", {"number": number, "state": state, "duration": duration})

    async def text(self, number: str, message: str) -> Said:
        return await self._post("message/text", {"number": number, "message": message})

    async def media(self, number: str, size: int) -> Said:
        """Send media of `size` base64 characters, which are not held."""
        return await self._call("POST", "message/media", data=self._media(number, size), headers=_JSON)

    async def status(self, message: str) -> Said:
        return await self._post("message/status", {"type": "text", "message": message, "backgroundColor": "#FF6600"})

    async def configure_websocket(self) -> Said:
        return await self._post("events/websocket", {"enabled": True, "events": ["message.exchange"]})

    async def get_websocket(self) -> Said:
        return await self._call("GET", "events/getWebsocket")

    async def profile(self, number: str) -> Said:
        return await self._call("GET", "profile/getAccount", params={"number": number})

    async def settings(self, **changes: Any) -> Said:
        return await self._post("instance/settings", changes)

    async def list(self) -> Said:
        return await self._call("GET", "instance/list", path="", params={"instanceName": self.instance})

    async def stored_media(self, message_id: str) -> int:
        """Read stored media, and hold none of it; how many bytes came."""
        url = f"{self.base_url}/api/chat/base64/{self.instance}"
        read = 0
        async with self.http.get(url, headers={"token": self.token}, params={"messageId": message_id}) as response:
            async for piece in response.content.iter_any():
                read += len(piece)
        return read

    async def listen(self) -> aiohttp.ClientWebSocketResponse:
        """Connect as browsers must: the token in the query."""
        url = f"{self.base_url}/ws/{self.instance}"
        return await self.http.ws_connect(url, params={"token": self.token}, autoping=True)

    async def _media(self, number: str, size: int) -> AsyncIterator[bytes]:
        yield b'{"mediaType": "video", "mediaBase64": "'
        async for piece in pieces(size):
            yield piece
        yield f'", "number": "{number}"}}'.encode()

    async def _post(self, route: str, body: dict[str, Any]) -> Said:
        return await self._call("POST", route, json=body)

    async def _call(self, method: str, route: str, *, path: str | None = None, **options: Any) -> Said:
        headers = {"token": self.token} | options.pop("headers", {})
        url = f"{self.base_url}/api/{route}{f'/{self.instance}' if path is None else path}"
        async with self.http.request(method, url, headers=headers, allow_redirects=False, **options) as response:
            return Said(response.status, response.content_type, await response.read())


_JSON = {"Content-Type": "application/json"}
