"""The event loop that a process's tests with a browser share."""

from functools import partial

import pytest_asyncio

fixture = partial(pytest_asyncio.fixture, loop_scope="session")
"""Of what is awaited: it lives in the browser's loop, not in one of its test's own."""
