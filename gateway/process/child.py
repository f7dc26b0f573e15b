"""A child process that is started again when it dies, and that does not outlive its parent."""

import asyncio
import ctypes
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress

import structlog

_FIRST_BACK_OFF_S = 0.2
_LONGEST_BACK_OFF_S = 5.0
_CALM_S = 10.0
"""Who lived this long is started again as soon as the first time."""

_START_S = 60.0
_LOOK_EVERY_S = 0.05

_PR_SET_PDEATHSIG = 1

_log = structlog.get_logger()
_libc = ctypes.CDLL(None)


class StartFailed(Exception):
    """A process did not get as far as it should; the message says why and what to do."""


class Child:
    """One process of ours, whichever life of it."""

    def __init__(
        self,
        name: str,
        command: list[str],
        environ: Mapping[str, str],
        *,
        stop_within_s: float,
        pass_fds: Sequence[int] = (),
        prepare: Callable[[], None] = lambda: None,
        on_start: Callable[[], None] = lambda: None,
    ) -> None:
        """Describe the process.

        Args:
            name: how the log calls it.
            command: what is run.
            environ: all of its environment.
            stop_within_s: how long it may take to end by itself once asked.
            pass_fds: what else of ours it may use.
            prepare: runs in a thread before every start.
            on_start: runs after every start.
        """
        self.name = name
        self.is_settled = False
        self.has_failed = False
        self._is_abandoned = False
        self._command = command
        self._environ = environ
        self._stop_within_s = stop_within_s
        self._pass_fds = pass_fds
        self._prepare = prepare
        self._on_start = on_start
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The process of the moment."""
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Start it, and keep it running until `stop`.

        Until `is_settled` is set, an end with an error code sets `has_failed` and is not mended: a wrong setting or a
        full disk would end the next one too.
        """
        await self._start()
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """End it, asked first and then killed; where it never started, nothing is to do."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})
        await self._stop()

    def abandon(self) -> None:
        """End it at once and for good."""
        self._is_abandoned = True
        self._kill()

    async def _start(self) -> None:
        await asyncio.to_thread(self._prepare)
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._environ,
            stdin=asyncio.subprocess.DEVNULL,
            # The terminal's Ctrl-C is the runner's business, which stops its children in order.
            start_new_session=True,
            pass_fds=self._pass_fds,
            preexec_fn=_die_with(os.getpid()),
        )
        self._on_start()

    async def _watch(self) -> None:
        back_off_s = _FIRST_BACK_OFF_S
        while self._process is not None:
            began = time.monotonic()
            code = await self._process.wait()
            if self._is_abandoned:
                return
            if code > 0 and not self.is_settled:
                self.has_failed = True
                return
            if time.monotonic() - began >= _CALM_S:
                back_off_s = _FIRST_BACK_OFF_S
            _log.warning("process_ended", process=self.name, ended=_ending(code), starting_again_in_s=back_off_s)
            await asyncio.sleep(back_off_s)
            back_off_s = min(back_off_s * 2, _LONGEST_BACK_OFF_S)
            await self._start()
            _log.info("process_started_again", process=self.name, pid=self.pid)

    def _kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def _stop(self) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(self._stop_within_s):
                await self._process.wait()
        except TimeoutError:
            _log.warning("process_killed", process=self.name, asked_to_stop_s_ago=self._stop_within_s)
            self._kill()
            await self._process.wait()


async def wait_until(
    probe: Callable[[], Awaitable[bool]], children: Collection[Child], complaint: str, *, within_s: float = _START_S
) -> None:
    """Ask until the answer is yes.

    Raises:
        StartFailed: a process ended with an error, or the answer is still no.
    """
    deadline = time.monotonic() + within_s
    while not await probe():
        for child in children:
            if child.has_failed:
                raise StartFailed(f"the {child.name} process ended while starting; its own words are above")
        if time.monotonic() > deadline:
            raise StartFailed(f"{complaint} within {within_s:.0f} s")
        await asyncio.sleep(_LOOK_EVERY_S)


def _die_with(parent: int) -> Callable[[], None]:
    """Return what a child does first: keep its files private, and ask the kernel for a SIGTERM when the runner ends."""

    def leash() -> None:
        os.umask(0o077)
        if sys.platform == "linux":
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # it ended before we asked
                os._exit(1)

    return leash


def _ending(code: int) -> str:
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
