"""Every limit of the relay, by name, with its default. A flag or a line in the config file overrides each."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bide.errors import InputError
from bide.protocol.frames import BATCH_BYTES_MAX, BATCH_ENVELOPES_MAX, FRAME_BYTES_BEFORE_AUTH_MAX, FRAME_BYTES_MAX

MIB = 1024 * 1024

Count = Annotated[int, Field(ge=1, le=2**53)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Settings(BaseModel):
    """The limits of one relay process. Units come last in each name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    registration: Literal["invite", "open"] = "invite"
    """Who may found a space here: holders of an invite token, or anybody."""
    host: str = Field(default="", max_length=255)
    """The name (and port, unless it is the scheme's own) that clients dial. Empty: what the connection's Host header says."""
    trusted_proxy: str = ""
    """The address of the proxy in front, whose X-Forwarded-For is believed. Empty: believe none."""

    frame_bytes_before_auth_max: int = Field(default=FRAME_BYTES_BEFORE_AUTH_MAX, ge=1024, le=FRAME_BYTES_BEFORE_AUTH_MAX)
    """A longer message of somebody not known yet, or in a pairing, ends the connection."""
    frame_bytes_max: int = Field(default=FRAME_BYTES_MAX, ge=BATCH_BYTES_MAX + 4096, le=FRAME_BYTES_MAX)
    """A longer message of a device ends the connection."""
    batch_bytes_max: int = Field(default=BATCH_BYTES_MAX, ge=4096, le=BATCH_BYTES_MAX)
    """Envelope bytes in one message that the relay sends; at least one envelope always goes."""
    batch_envelopes_max: int = Field(default=BATCH_ENVELOPES_MAX, ge=1, le=BATCH_ENVELOPES_MAX)
    """Envelopes in one message that the relay sends."""

    open_timeout_s: Seconds = 5
    """How long TLS, and then HTTP, may take."""
    auth_timeout_s: Seconds = 10
    """How long a client may take to say who it is, to register, and to say what it has; each for itself."""
    close_timeout_s: Seconds = 5
    """How long a client may take to hear the goodbye."""
    ping_interval_s: Seconds = 20
    """How often the relay asks whether a client is still there."""
    ping_timeout_s: Seconds = 20
    """How long the answer may take."""
    provisional_timeout_s: Seconds = 10
    """How long a device that is no member yet may go without bringing anything that is stored."""
    stop_timeout_s: Seconds = 10
    """How long a stop waits for what is being stored."""

    connections_max: Count = 2000
    """Connections in all."""
    connections_per_ip_max: Count = 20
    """Of one IPv4 address, or of one IPv6 network of 64 bits. So are the other limits by IP."""
    connections_per_device_max: Count = 2
    """When one more comes, the oldest is closed: after a change of network it is the one that is dead."""
    connections_unauthenticated_max: Count = 50
    """Beyond it one goes at once: the oldest of the address that has the most of them."""
    connects_per_ip_minute_max: Count = 10
    """More are told when to come back; twelve times as many are turned away without a word."""
    limit_loopback: bool = False
    """Whether limits by IP hold for loopback too. Off: everything behind a proxy, and every test, has that one address."""

    frames_per_device_s: Annotated[float, Field(gt=0)] = 20
    """Beyond it the relay reads later, which slows the sender down; nothing is refused."""
    frames_per_device_burst: Count = 100
    """Messages that may come at once before that."""
    bytes_per_device_s: Count = 2 * MIB
    """As `frames_per_device_s`."""
    bytes_per_device_burst: Count = 8 * MIB
    """As `frames_per_device_burst`."""
    control_frames_minute_max: Count = 120
    """Pings, pongs and closes of one connection. More end it: each ping makes the relay write, however full the socket is."""
    uploads_in_flight_max: Count = 8
    """Batches of one connection that may wait for their commit before the relay reads on."""
    uploads_in_flight_bytes_max: Count = 64 * MIB
    """Bytes of all connections together that may wait for their commit. Beyond it uploads wait their turn."""
    receive_queue_frames_max: Count = 4
    """Websocket messages buffered for a connection before the relay stops reading its socket."""
    send_buffer_bytes: Count = 32 * 1024
    """Bytes that may wait in a connection's write buffer before the relay stops writing to it."""
    recent_bytes_per_space_max: Count = 256 * 1024
    """Envelopes kept in memory for each space that is connected, so that the live path reads no storage."""

    space_bytes_max: Count = 2048 * MIB
    """Bytes of envelopes in one space."""
    space_entries_max: Count = 1_000_000
    """Envelopes in one space."""
    invite_spaces: Count = 8
    """Spaces that one invite admits: a person's own and those that they found."""
    forgotten_days: Annotated[int, Field(ge=1, le=3650)] = 400
    """For how long the relay knows that it deleted a space, and lets nobody begin it again without meaning to."""
    forgotten_max: Count = 100_000
    """Of how many spaces it knows that. Beyond it the oldest are no longer known."""
    disk_free_bytes_min: Annotated[int, Field(ge=0)] = 512 * MIB
    """With less room on the disk nothing new is stored; reading goes on."""

    commit_wait_ms: Annotated[float, Field(ge=0, le=5)] = 1
    """While several changes arrive at once, how long a commit waits for more of them."""
    commit_bytes_max: Count = 8 * MIB
    """Bytes that one commit takes together."""

    mailboxes_max: Count = 500
    """Connections that pair at the same time."""
    mailbox_expires_s: Annotated[int, Field(ge=1, le=86_400)] = 600
    """How long a nameplate lives, and the pairing that began with it."""
    mailbox_messages_max: Count = 64
    """Messages that one side of a pairing may send."""
    mailbox_claims_per_ip_minute_max: Count = 5
    """Tries at a nameplate from one IP."""
    mailbox_claims_per_ip_hour_max: Count = 20
    """The same, for an hour."""

    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    """Where Prometheus finds `/metrics` on 127.0.0.1; 0: nowhere."""
    log_interval_s: Seconds = 300
    """How often the counts are logged, if they changed."""


def load_settings(config: Path | None, overrides: dict[str, Any]) -> Settings:
    """The settings of a config file, with `overrides` (flags) on top.

    Args:
        config: a TOML file of the names above, or None.
        overrides: by name; None values are left out.

    Raises:
        InputError: the file can't be read, a name is unknown or a value out of range.
    """
    values: dict[str, Any] = {}
    if config is not None:
        try:
            values = tomllib.loads(config.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InputError(f"The config file can't be read: {error}") from error
    values.update({name: value for name, value in overrides.items() if value is not None})
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InputError(f"The setting {name!r} can't be used: {first['msg']}.") from error
