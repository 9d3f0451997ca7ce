"""The way to a relay: a websocket, dialled and nothing more. Imported only by what syncs or pairs.

What goes through is sealed and signed already; TLS hides who talks with whom. In the clear Bide speaks only to this machine.
"""

from __future__ import annotations

import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from bide.errors import BideError, RelayUnreachable, RemoteProtocolError, VerificationFailed
from bide.protocol.frames import FRAME_BYTES_MAX
from bide.replica.spaces.addresses import check_url, is_loopback

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.sync.client import ClientConnection as BlockingConnection

OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 3.0
PING_INTERVAL_S = 20.0
PING_TIMEOUT_S = 20.0
_BUSY_STATUS = (429, 503)
_BROKE_OFF = "The connection to the relay broke off."

# Without a handler Python would print the library's warnings between a person's lines.
for _chatty in ("websockets", "asyncio"):
    logging.getLogger(_chatty).addHandler(logging.NullHandler())


def _settings(url: str) -> dict[str, Any]:
    check_url(url)
    secure = url.startswith("wss:")
    return {
        "compression": None,  # sizes of compressed secrets tell about them, and sealed bytes don't shrink
        "max_size": FRAME_BYTES_MAX,
        "open_timeout": OPEN_TIMEOUT_S,
        "close_timeout": CLOSE_TIMEOUT_S,
        "ping_interval": PING_INTERVAL_S,
        "ping_timeout": PING_TIMEOUT_S,
        "user_agent_header": None,
        "ssl": ssl.create_default_context() if secure else None,
        # What is on this machine is never behind a proxy.
        "proxy": None if is_loopback(urlsplit(url).hostname or "") else True,
    }


@contextlib.asynccontextmanager
async def dialled(url: str) -> AsyncIterator[ClientConnection]:
    """A connection for syncing, closed at the end.

    Raises:
        RelayUnreachable: it can't be had, or broke off inside ``with``.
        VerificationFailed: the relay's certificate is not right.
    """
    from websockets.asyncio.client import connect

    with told_plainly():
        connection = await connect(url, **_settings(url))
        try:
            yield connection
        finally:
            await connection.close()


@contextlib.contextmanager
def dialled_blocking(url: str) -> Iterator[BlockingConnection]:
    """A connection for pairing, which waits for a person: a thread of the library keeps it alive meanwhile.

    Raises as `dialled` does.
    """
    from websockets.sync.client import ClientConnection, connect

    with told_plainly():
        connection = connect(url, legacy=True, **_settings(url))
        assert isinstance(connection, ClientConnection)  # what legacy=True means
        try:
            yield connection
        finally:
            connection.close()


@contextlib.contextmanager
def told_plainly() -> Iterator[None]:
    """Turn whatever a connection raises into our own errors."""
    try:
        yield
    except BideError:
        raise
    except ssl.SSLCertVerificationError as error:
        raise VerificationFailed(
            "The relay's certificate can't be verified, so nothing was sent.",
            hint="Is the address right, and does the relay's certificate fit it?",
        ) from error
    except ConnectionClosed as error:
        raise RelayUnreachable(_BROKE_OFF) from error
    except InvalidStatus as error:
        if error.response.status_code in _BUSY_STATUS:
            raise RelayUnreachable("The relay is busy just now.") from error
        raise RelayUnreachable("What answers at that address is not a relay.") from error
    except WebSocketException as error:
        raise RelayUnreachable("What answers at that address is not a relay.") from error
    except (OSError, EOFError) as error:  # timeouts and names that can't be found among them
        raise RelayUnreachable from error


def as_frame(message: str | bytes) -> bytes:
    """A websocket message as a frame.

    Raises:
        RemoteProtocolError: it is text.
    """
    if isinstance(message, str):
        raise RemoteProtocolError
    return message
