"""Frames to bytes and back. Any bytes become a valid frame or a `RemoteProtocolError`, nothing else."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter, ValidationError

from bide.errors import EnvelopeRejected, RemoteProtocolError
from bide.log.packing import pack, unpack
from bide.protocol.frames import FRAME_BYTES_MAX, FRAME_NAMES, Frame, Hello

_ADAPTERS: dict[str, TypeAdapter[Any]] = {name: TypeAdapter(kind) for kind, name in FRAME_NAMES.items()}


def encode_frame(frame: Frame) -> bytes:
    """The bytes of one websocket message."""
    return pack([FRAME_NAMES[type(frame)], *(_plain(field) for field in frame)])


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def decode_frame(data: bytes, *, bytes_max: int = FRAME_BYTES_MAX) -> Frame:
    """The frame in one websocket message.

    Raises:
        RemoteProtocolError: it holds no valid frame, or is longer than `bytes_max`.
    """
    if len(data) > bytes_max:
        raise RemoteProtocolError("A message was larger than allowed.")
    try:
        value = unpack(data, bytes_max=bytes_max, maps=True)
    except EnvelopeRejected as error:
        raise RemoteProtocolError from error
    if not isinstance(value, list) or not value or not isinstance(value[0], str):
        raise RemoteProtocolError
    if value[0] != FRAME_NAMES[Hello] and _has_map(value):
        # Pydantic would take a map for a named tuple: a second way to write the same frame.
        raise RemoteProtocolError
    adapter = _ADAPTERS.get(value[0])
    if adapter is None:
        raise RemoteProtocolError("The other side speaks a newer protocol.")
    try:
        frame: Frame = adapter.validate_python(value[1:])
    except ValidationError:
        # The original would carry the rejected bytes into logs.
        raise RemoteProtocolError from None
    return frame


def _has_map(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(_has_map(item) for item in value))
