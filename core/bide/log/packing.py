"""msgpack with every limit set: the only way bytes from outside become values.

Used for the payloads of envelopes and, by `bide.protocol.codec`, for frames. What comes out is made of int, bytes, str,
bool, None and lists of these; maps only where a caller allows them. No floats, no extension types.
"""

from __future__ import annotations

from typing import Any

import msgpack

from bide.errors import EnvelopeRejected

Packed = int | bytes | str | bool | None | list[Any] | dict[Any, Any]

ARRAY_ITEMS_MAX = 512
MAP_ITEMS_MAX = 64
STR_BYTES_MAX = 256
DEPTH_MAX = 4


class MalformedPacking(EnvelopeRejected):
    """Bytes that should hold msgpack do not, or exceed a limit."""

    code = "malformed"


def pack(value: Packed) -> bytes:
    """`value` as msgpack bytes."""
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed


def unpack(data: bytes, *, bytes_max: int, array_items_max: int = ARRAY_ITEMS_MAX, maps: bool = False) -> Packed:
    """The one value that `data` holds.

    Args:
        data: the whole message; trailing bytes are refused.
        bytes_max: refuse anything longer, and any byte string longer, before parsing.
        array_items_max: refuse longer arrays.
        maps: let maps through, with text as keys.

    Raises:
        MalformedPacking: not msgpack, or over a limit.
    """
    if len(data) > bytes_max:
        raise MalformedPacking
    try:
        value: Packed = msgpack.unpackb(
            data,
            raw=False,
            use_list=True,
            strict_map_key=True,
            max_array_len=array_items_max,
            max_map_len=MAP_ITEMS_MAX,
            max_str_len=STR_BYTES_MAX,
            max_bin_len=bytes_max,
            max_ext_len=0,
        )
    except (ValueError, TypeError, RecursionError, OverflowError, msgpack.exceptions.UnpackException) as error:
        raise MalformedPacking from error
    _check(value, DEPTH_MAX, maps=maps)
    return value


def _check(value: Any, depth_left: int, *, maps: bool) -> None:
    if isinstance(value, (bool, int, bytes, str)) or value is None:
        return
    if depth_left == 0:
        raise MalformedPacking
    if isinstance(value, list):
        for item in value:
            _check(item, depth_left - 1, maps=maps)
        return
    if isinstance(value, dict) and maps:
        for key, item in value.items():
            # msgpack's strict_map_key lets byte strings through too.
            if not isinstance(key, str):
                raise MalformedPacking
            _check(item, depth_left - 1, maps=maps)
        return
    raise MalformedPacking
