"""What every fake upstream has: a switchable world, the phone that watches it, and a log of what was asked.

The fakes are written from the upstreams' own contracts, never from our adapters: a wrong adapter must fail. `shown` is
what the recipient's phone was told, so a call that is answered 200 but that WhatsApp would not show leaves no trace.
"""

import asyncio
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, ClassVar, Literal, NamedTuple, Self

from aiohttp import web

from gateway.presence.model import Chat, ChatKind, Outcome, State, Target
from gateway.upstreams.base import Connection

Sleep = Callable[[float], Awaitable[None]]
Misbehaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]

PERSON = Chat("5511999999999@s.whatsapp.net")
GROUP = Chat("120363025246125486@g.us")
LID = Chat("184756393291234@lid")
NEWSLETTER = Chat("120363144038483540@newsletter")
STATUS = Chat("status@broadcast")
ONE_OF_EACH = {chat.kind: chat for chat in (PERSON, GROUP, LID, NEWSLETTER, STATUS)}

EVERYONE = frozenset(ChatKind)
PEOPLE_AND_GROUPS = frozenset({ChatKind.PHONE, ChatKind.GROUP, ChatKind.LID})

_VISIBLE = re.compile(r"[0-9]{5,25}(-[0-9]{5,15})?@(s\.whatsapp\.net|g\.us|lid|newsletter)|status@broadcast")


def scaled(factor: float) -> Sleep:
    """A clock on which an upstream's own waits take `factor` of their time."""

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds * factor)

    return sleep


class Shown(NamedTuple):
    """One thing that a phone was told; `at` is the event loop's time."""

    at: float
    session: str
    chat: str
    state: State


@dataclass
class Asked:
    """One request and, once it was answered, the answer's status."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int | None = None

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Recorded:
    """An answer that a well-formed presence call does not provoke by itself, kept as the upstream would give it."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> web.Response:
        return answer(self.status, self.body, self.headers)


class Refused(Exception):
    """Ends a handler with this answer."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, body)
        self.recorded = Recorded(status, body, headers or {})


@dataclass(frozen=True)
class ErrorRow:
    """One error row of the upstream's contract: how to bring it about, what it answers, what we make of it.

    Attributes:
        name: the row, as the contract names the case.
        status: the answer's status; None where there is no answer within `timeout_s`.
        outcomes: what the gateway may read it as (one, save where the contract leaves it open).
        world: attributes of the fake to set first.
        session_state: the state of the fake's session.
        session: the session to ask for, if not the fake's own.
        credential: the credential to use, if not the right one.
        recorded: the answer itself, where a well-formed call cannot provoke it.
        real_time: the upstream's waits take their time.
        acts: the phone is told in spite of what is answered.
    """

    name: str
    status: int | None
    outcomes: frozenset[Outcome]
    world: Mapping[str, object] = field(default_factory=dict)
    session_state: str | None = None
    session: str | None = None
    credential: str | None = None
    recorded: Recorded | None = None
    chat: Chat = PERSON
    states: tuple[State, ...] = (State.TYPING, State.PAUSED)
    real_time: bool = False
    timeout_s: float = 3.0
    acts: bool = False


def one_of(*outcomes: Outcome) -> frozenset[Outcome]:
    return frozenset(outcomes)


REJECTED = one_of(Outcome.REJECTED)
UNAUTHORIZED = one_of(Outcome.UNAUTHORIZED)
NOT_CONNECTED = one_of(Outcome.NOT_CONNECTED)
UNKNOWN_NUMBER = one_of(Outcome.UNKNOWN_NUMBER)
DOUBTED_NUMBER = one_of(Outcome.DOUBTED_NUMBER)
UNSUPPORTED = one_of(Outcome.UNSUPPORTED)
UNKNOWN = one_of(Outcome.UNKNOWN)
BAD_NUMBER = one_of(Outcome.UNKNOWN_NUMBER, Outcome.REJECTED)
"""The upstream's text says "number or something else": either reading is true."""
TRY_LATER = one_of(Outcome.UNAVAILABLE)


@dataclass(frozen=True)
class ConnectionRow:
    """What the upstream says of a session in this state, and what the gateway makes of it."""

    session_state: str | None
    expected: frozenset[Connection]
    world: Mapping[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return "-".join([self.session_state or "absent", *(str(value) for value in self.world.values())])


CONNECTED = frozenset({Connection.CONNECTED})
CONNECTING = frozenset({Connection.CONNECTING})
DISCONNECTED = frozenset({Connection.DISCONNECTED})
NOT_LOGGED_IN = frozenset({Connection.LOGGEDOUT, Connection.DISCONNECTED})
NOT_KNOWN = frozenset({Connection.UNKNOWN, Connection.DISCONNECTED})


class FakeUpstream(ABC):
    """An upstream on a loopback socket, whose world a test may change at any moment.

    Attributes:
        sessions: every session's state in the upstream's own words; one that is missing is unknown to it.
        credentials: which session each credential opens, `*` for all.
        absent: users (the part before the `@`) that are not on WhatsApp.
        failing: the failure mode that is switched on; each fake documents its own.
        style: the letter case and field names of old or new builds.
        misbehaviour: answers every request instead of the upstream; with `presence_only`, every presence call.
        recorded: answers every presence call instead of the upstream.
        shown: what the phones were told.
        requests: what was asked, in order.
    """

    KIND: ClassVar[str]
    VARIANT: ClassVar[str] = ""
    SESSION: ClassVar[str] = "shop"
    CREDENTIAL: ClassVar[str] = "right-credential"
    UP: ClassVar[str] = "connected"
    """The word for a session that works."""
    RECORDING: ClassVar[bool] = True
    BLOCKS: ClassVar[bool] = False
    CHATS: ClassVar[frozenset[ChatKind]]
    """The kinds of chat that it shows on that very chat."""
    PAUSES_SHOWN: ClassVar[int] = 1
    """How often the phone is told of one pause."""
    LARGEST_BYTES: ClassVar[int] = 1024**2
    """The longest body that it takes."""
    WRONG_CREDENTIAL: ClassVar[frozenset[Outcome]] = UNAUTHORIZED
    ERROR_ROWS: ClassVar[tuple[ErrorRow, ...]]
    CONNECTION_ROWS: ClassVar[tuple[ConnectionRow, ...]] = ()

    def __init__(self, *, sleep: Sleep = asyncio.sleep) -> None:
        self.sleep = sleep
        self.sessions: dict[str, str] = {self.SESSION: self.UP}
        self.credentials: dict[str, str] = {self.CREDENTIAL: self.SESSION}
        self.absent: set[str] = set()
        self.failing: str | None = None
        self.style: Literal["old", "new"] = "new"
        self.misbehaviour: Misbehaviour | None = None
        self.presence_only = False
        self.recorded: Recorded | None = None
        self.shown: list[Shown] = []
        self.requests: list[Asked] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._runner: web.AppRunner | None = None
        self._url = ""

    @classmethod
    def name(cls) -> str:
        """What tests call it."""
        return f"{cls.KIND}-{cls.VARIANT}" if cls.VARIANT else cls.KIND

    @abstractmethod
    def routes(self) -> Iterable[web.RouteDef]:
        """The upstream's routes."""

    @abstractmethod
    def is_presence(self, request: web.Request) -> bool:
        """Whether this request is one that `recorded` answers."""

    def is_streamed(self, request: web.Request) -> bool:
        """Whether the handler reads the body by itself, as it comes."""
        return False

    @property
    def url(self) -> str:
        """Its origin, and the base path if it has one."""
        return self._url

    def target(self, *, session: str | None = None, credential: str | None = None) -> Target:
        """Where the gateway finds this upstream; without arguments, the target that works."""
        return Target(
            kind=self.KIND,
            url=self.url,
            session=self.SESSION if session is None else session,
            credential=self.CREDENTIAL if credential is None else credential,
        )

    def arrange(self, row: ErrorRow) -> Target:
        """Set the world up for an error row, and say whom to ask."""
        self._set(row.world)
        if row.session_state is not None:
            self.sessions[self.SESSION] = row.session_state
        self.recorded = row.recorded
        return self.target(session=row.session, credential=row.credential)

    def arrange_connection(self, row: ConnectionRow) -> Target:
        """Set the world up for a connection row, and say whom to ask."""
        self._set(row.world)
        if row.session_state is None:
            self.sessions.clear()
        else:
            self.sessions[self.SESSION] = row.session_state
        return self.target()

    def _set(self, world: Mapping[str, object]) -> None:
        for name, value in world.items():
            if not hasattr(self, name):
                raise AttributeError(name)
            setattr(self, name, value)

    def show(self, session: str, jid: str, state: State) -> None:
        """Tell the phone, unless no phone has that address."""
        user, _, server = jid.partition("@")
        jid = f"{user}@{'s.whatsapp.net' if server == 'c.us' else server}"
        if _VISIBLE.fullmatch(jid):
            self.shown.append(Shown(asyncio.get_running_loop().time(), session, jid, state))

    def seen(self) -> list[tuple[str, str, State]]:
        """What the phones were told, without the times."""
        return [(told.session, told.chat, told.state) for told in self.shown]

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run work of the upstream's own, that no client can stop by hanging up."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def app(self) -> web.Application:
        """The upstream as an application, for a server of the test's own."""
        app = web.Application(middlewares=[self._serve], client_max_size=self.LARGEST_BYTES)
        app.add_routes(self.routes())
        return app

    async def stop(self) -> None:
        """End the upstream's own work."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        self._runner = web.AppRunner(self.app(), access_log=None, shutdown_timeout=0.01)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self._url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        if self._runner is not None:
            for site in [*self._runner.sites]:
                await site.stop()
            # What was accepted a moment ago reaches the server some turns later; nobody would close it after the end.
            for _ in range(5):
                await asyncio.sleep(0)
            await self._runner.cleanup()

    @web.middleware
    async def _serve(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        body = b"" if self.is_streamed(request) else await request.read()
        asked = Asked(request.method, request.raw_path, request.headers.copy(), body)
        self.requests.append(asked)
        if self.misbehaviour is not None and (self.is_presence(request) or not self.presence_only):
            return await self.misbehaviour(request)
        response: web.StreamResponse
        try:
            if self.recorded is not None and self.is_presence(request):
                response = self.recorded.response()
            else:
                response = await handler(request)
        except Refused as refused:
            response = refused.recorded.response()
        except web.HTTPException as unrouted:
            asked.status = unrouted.status
            raise
        asked.status = response.status
        return response


_compact = partial(json.dumps, separators=(",", ":"), ensure_ascii=False)
"""As Go and Node write it."""


def answer(status: int, body: Any = None, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer: a string is plain text unless `headers` say more, None is empty, anything else is JSON."""
    if body is None:
        return web.Response(status=status, headers=headers)
    if isinstance(body, str):
        return web.Response(status=status, text=body, headers=headers)
    return web.json_response(body, status=status, headers=headers, dumps=_compact)


class BrokenJSONError(Exception):
    """The request's body is not the JSON that the upstream expects."""


async def node_body(request: web.Request) -> dict[str, Any]:
    """The body as Express reads it: anything not declared as JSON is an empty object; only objects are of use."""
    if request.content_type != "application/json" or not await request.read():
        return {}
    return await go_body(request)


async def go_body(request: web.Request) -> dict[str, Any]:
    """The body as Go reads it: whatever the content type.

    Raises:
        BrokenJSONError: it is not a JSON object.
    """
    try:
        body = json.loads(await request.read())
    except ValueError as error:
        raise BrokenJSONError from error
    if not isinstance(body, dict):
        raise BrokenJSONError
    return body
