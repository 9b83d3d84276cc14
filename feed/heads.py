"""HEAD is answered as GET is, without a body: the same status and headers, at every address.

Comes in: requests. Goes out: HEAD requests as GET requests to the application, and its answers without their bodies. Owns no state. An
answer that would not end, such as the stream of changes, ends with its headers.
"""

from __future__ import annotations

from typing import cast

from litestar.types import ASGIApp, Message, Receive, Scope, Send


def with_heads(app: ASGIApp) -> ASGIApp:
    """The application that also answers HEAD."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") != "HEAD":
            await app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                # whoever sends a body without an end is told with this that nobody listens any more
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        # a copy: the server looks at its own to see that no body is to follow
        await app(cast("Scope", {**scope, "method": "GET"}), receive, send_head)

    return answer
