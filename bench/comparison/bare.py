"""The floor: aiohttp alone, JSON in, JSON out, as a process of its own.

python -m comparison.bare PORT
"""

import sys

import uvloop
from aiohttp import web

from comparison.processes import LOOPBACK


async def answer(request: web.Request) -> web.Response:
    command = await request.json()
    return web.json_response({"code": 200, "data": {"chat_jid": command["number"]}, "success": True})


def main() -> None:
    app = web.Application()
    app.router.add_post("/api/chat/presence/{instance}", answer)
    web.run_app(
        app,
        host=LOOPBACK,
        port=int(sys.argv[1]),
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
        backlog=1024,
    )


if __name__ == "__main__":
    main()
