"""The ``bide-relay`` command."""

from __future__ import annotations

import contextlib
import os
import ssl
import sys
import time
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic.fields import FieldInfo

from bide.errors import BideError, InputError, StorageBusy, StorageError
from bide_relay import admin
from bide_relay.limits import is_loopback
from bide_relay.logs import log_discreetly
from bide_relay.server import run
from bide_relay.settings import Settings, load_settings
from bide_relay.storage.sqlite import SqliteStorage, make_folder

if sys.platform != "win32":
    import fcntl

PORT_DEFAULT = 8765
_EXIT_USAGE = 2
_ADVICE_FILE = (
    "Stop the relay and move relay.db away, with its -wal file; keep it. Put a backup in its place (bide-relay restore), or"
    " begin with none: the devices bring back what they have."
)
_ADVICE_SPACES = (
    "Stop the relay, keep a copy, and put a backup in its place (bide-relay restore); or let the devices bring them back:"
    " bide-relay purge --damaged"
)
_EMPTIED = (
    "relay.db was empty, so this relay begins anew: it has a new key, needs new invites, and gets everything again from the"
    " devices. To have a backup instead: stop it, move relay.db away, and run bide-relay restore."
)
_F = TypeVar("_F", bound=Callable[..., Any])

data_option = click.option(
    "--data", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder that holds the relay's database."
)
config_option = click.option(
    "--config", type=click.Path(dir_okay=False, path_type=Path), help="TOML file of settings; flags go before it."
)


def _kind(field: FieldInfo) -> Any:
    kind = field.annotation
    if typing.get_origin(kind) is typing.Literal:
        return click.Choice(typing.get_args(kind))
    return kind if isinstance(kind, type) and not isinstance(kind, types.GenericAlias) else str


def settings_options(command: _F) -> _F:
    """One flag for each setting, so that none exists that can't be set or isn't listed."""
    for name, field in reversed(Settings.model_fields.items()):
        flag = "--" + name.replace("_", "-")
        if field.annotation is bool:
            flag = f"{flag}/--no-{name.replace('_', '-')}"
        command = click.option(
            flag, name, type=_kind(field), default=None, help=f"Default: {field.default!s}." if field.default != "" else None
        )(command)
    return command


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what went wrong into one sentence and an exit code."""
    try:
        yield
    except InputError as error:
        click.echo(f"bide-relay: {error.message}", err=True)
        sys.exit(_EXIT_USAGE)
    except BideError as error:
        click.echo(f"bide-relay: {error.message}" + (f" {error.hint}" if error.hint else ""), err=True)
        sys.exit(1)


@click.group()
@click.version_option(package_name="bide")
def main() -> None:
    """Serve a Bide relay: it merges the logs of spaces that it cannot read."""
    os.umask(0o077)


@main.command()
@click.option("--listen", default=f"127.0.0.1:{PORT_DEFAULT}", show_default=True, help="HOST:PORT; port 0 takes a free one.")
@data_option
@config_option
@click.option("--tls-cert", type=click.Path(exists=True, dir_okay=False), help="Certificate chain (PEM).")
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False), help="Its private key (PEM).")
@click.option("--behind-proxy", is_flag=True, help="A proxy in front speaks TLS with the clients.")
@settings_options
def serve(
    listen: str,
    data: Path,
    config: Path | None,
    tls_cert: str | None,
    tls_key: str | None,
    behind_proxy: bool,
    **overrides: Any,
) -> None:
    """Serve. Prints one line when ready; ends on SIGTERM or SIGINT."""
    log_discreetly()
    with plain_errors():
        settings = load_settings(config, overrides)
        host, port = parse_listen(listen)
        tls = _tls(tls_cert, tls_key)
        if tls is None and not behind_proxy and not is_loopback(host):
            raise InputError(
                "Without TLS this relay listens on loopback only, since clients refuse to speak to it in the clear: "
                "give --tls-cert and --tls-key, or --behind-proxy if a proxy in front speaks TLS."
            )
        with _only_one(data):
            if admin.is_emptied(data):
                click.echo(f"bide-relay: {_EMPTIED}", err=True)
            storage = SqliteStorage(data)
            storage.quick_check()

            def ready(bound: int) -> None:
                shown = f"[{host}]" if ":" in host else host
                click.echo(f"bide-relay is ready on {'wss' if tls else 'ws'}://{shown}:{bound}")
                sys.stdout.flush()

            try:
                drained = run(storage, settings, host=host, port=port, tls=tls, ready=ready)
            except OSError as error:
                raise BideError(f"The relay can't listen on {listen}: {os.strerror(error.errno or 0)}.") from error
    # A commit that hangs must not keep the process: nothing of it was acknowledged.
    if not drained:
        os._exit(1)


@main.command()
@data_option
@click.option("--spaces", type=click.IntRange(1, 1000), help="Spaces that the invite admits.  [default: 8]")
def invite(data: Path, spaces: int | None) -> None:
    """Print a token that admits one person: their own space and those that they found. Works while the relay runs."""
    with plain_errors(), _opened(data) as storage:
        click.echo(admin.make_invite(storage, spaces=spaces or Settings().invite_spaces))


@main.command()
@data_option
def status(data: Path) -> None:
    """Print counts."""
    with plain_errors(), _opened(data) as storage:
        spaces, usage = storage.totals()
        click.echo(f"spaces {spaces}")
        click.echo(f"entries {usage.entries}")
        click.echo(f"bytes {usage.bytes}")
        click.echo(f"disk_free_bytes {storage.free_bytes()}")


@main.command()
@data_option
def check(data: Path) -> None:
    """Verify the database: its pages, and in every space each chain and the signatures that vouch for it."""
    with plain_errors(), _opened(data) as storage:
        try:
            torn = storage.damages()
        except StorageError:
            torn = ["some of its pages can't be read."]
        for words in torn:
            click.echo(f"The database file is damaged: {words}")
        checked, damaged = admin.find_damaged(storage)
        for space in damaged:
            click.echo(f"Space {space.number} is damaged: {space.words}")
        if not torn and not damaged:
            click.echo(f"All is well: {_spaces(checked.spaces)}, {_entries(checked.envelopes)}.")
            if checked.withheld:
                have = "has" if checked.withheld == 1 else "have"
                click.echo(
                    f"{_entries(checked.withheld)} {have} no body, and nobody erased it. A device that has it fills it in."
                )
            return
        whole = "space is" if checked.spaces == 1 else "spaces are"
        click.echo(f"{checked.spaces} {whole} whole, {len(damaged)} {'is' if len(damaged) == 1 else 'are'} not.")
        click.echo(_ADVICE_FILE if torn else _ADVICE_SPACES, err=True)
        sys.exit(1)


@main.command()
@data_option
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def backup(data: Path, file: Path) -> None:
    """Write a whole copy of the database to FILE. Works while the relay runs. It holds the relay's key: keep it safe."""
    with plain_errors(), _opened(data) as storage:
        storage.back_up(file)
        click.echo(f"Backed up {_spaces(storage.totals()[0])}.")


@main.command()
@data_option
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def restore(data: Path, file: Path) -> None:
    """Put a backup into a folder that has no database. It is verified first."""
    with plain_errors():
        admin.require_backup(file)  # before the folder is made
    with plain_errors(), _only_one(data):
        checked = admin.restore(file, data)
        click.echo(f"Restored {_spaces(checked.spaces)}, {_entries(checked.envelopes)}.")


@main.command()
@data_option
def spaces(data: Path) -> None:
    """Print what each space takes, the largest first: entries, bytes, made on, last used on. No ids."""
    with plain_errors(), _opened(data) as storage:
        for entries, size, made, used in storage.footprints():
            click.echo(f"{entries} {size} {_day(made)} {_day(used)}")


@main.command()
@data_option
@click.option("--idle-days", type=click.IntRange(30), help="Days without any connection, at least 30.")
@click.option("--damaged", is_flag=True, help="Those that bide-relay check finds damaged: their devices bring them back.")
@click.option("--yes", is_flag=True, help="Don't ask.")
def purge(data: Path, idle_days: int | None, damaged: bool, yes: bool) -> None:
    """Delete for good the spaces that are damaged, or that no device has asked for in a long time. The relay must be off."""
    with plain_errors(), _only_one(data), _opened(data) as storage:
        if damaged is (idle_days is not None):
            raise InputError("Say which: --idle-days DAYS or --damaged.")
        if idle_days is None:
            _purge_damaged(storage, yes=yes)
            return
        before = int(time.time() // 86_400) - idle_days
        found = [space for space in storage.footprints() if space.used_day < before]
        if not found:
            click.echo("No space has been idle that long.")
            return
        click.echo(f"{_spaces(len(found))}, {_entries(sum(s.entries for s in found))}, {sum(s.bytes for s in found)} bytes.")
        if not yes and not click.confirm("Delete them for good? The devices keep what they have."):
            sys.exit(1)
        click.echo(f"Deleted {_spaces(storage.purge(before))}.")


def _purge_damaged(storage: SqliteStorage, *, yes: bool) -> None:
    storage.quick_check()
    found = [each.space for each in admin.find_damaged(storage)[1]]
    if not found:
        click.echo("No space is damaged.")
        return
    click.echo(f"{_spaces(len(found))} {'is' if len(found) == 1 else 'are'} damaged.")
    if not yes and not click.confirm("Delete them here? Their devices bring back what they have when they sync."):
        sys.exit(1)
    storage.purge_spaces(found)
    click.echo(f"Deleted {_spaces(len(found))}.")


def _spaces(count: int) -> str:
    return "1 space" if count == 1 else f"{count} spaces"


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"


def _day(days: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(days * 86_400))


@contextlib.contextmanager
def _opened(data: Path) -> Iterator[SqliteStorage]:
    storage = SqliteStorage(data, create=False)
    try:
        yield storage
    finally:
        storage.close()


@contextlib.contextmanager
def _only_one(data: Path) -> Iterator[None]:
    """Hold the data folder: two relays on one file would each believe that they alone write it."""
    try:
        make_folder(data)
        descriptor = os.open(data / "relay.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise BideError(f"The data folder can't be used: {error.strerror}.") from error
    try:
        if sys.platform != "win32":
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise StorageBusy("Another relay is running on that data folder.", hint="") from error
            admin.remove_leftovers(data)
        yield
    finally:
        os.close(descriptor)


def parse_listen(text: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT`` or ``[IPV6]:PORT``.

    Raises:
        InputError: it is neither.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise InputError(f"--listen {text!r} is not HOST:PORT.")
    return host, int(port)


def _tls(cert: str | None, key: str | None) -> ssl.SSLContext | None:
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise InputError("--tls-cert and --tls-key go together.")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise InputError("The TLS certificate and key can't be used together.") from error
    return context


if __name__ == "__main__":
    main()
