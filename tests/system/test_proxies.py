"""The proxies of docs/operating.md, as the page sets them up: real homes reach a real relay through TLS that they end."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from homes import TIMEOUT_S, Home, pair

from bide_relay.testing import RelayProcess

PAGE = Path(__file__).parents[2] / "docs" / "operating.md"
REQUIRED = os.environ.get("BIDE_REQUIRE_PROXIES") == "1"
NAME = "localhost"


def snippet(title: str) -> str:
    """The configuration that the page gives under a heading."""
    found = re.search(rf"^### {title}\n\n```text\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found
    return found.group(1)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def certify(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for a name that its own holder signed, and its key."""
    cert, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*request, *names], capture_output=True, check=True)
    return cert, key


def caddy(folder: Path, relay: RelayProcess, port: int, cert: Path, key: Path) -> list[str]:
    """The arguments of Caddy, with the page's lines; the name, the ports and the certificate are the test's."""
    text = snippet("Behind Caddy").replace("relay.example.org {", f"https://{NAME}:{port} {{\n    tls {cert} {key}")
    text = text.replace("127.0.0.1:8765", relay.host)
    config = folder / "Caddyfile"
    config.write_text("{\n    admin off\n    auto_https off\n}\n" + text)
    return ["run", "--config", str(config), "--adapter", "caddyfile"]


def nginx(folder: Path, relay: RelayProcess, port: int, cert: Path, key: Path) -> list[str]:
    """The arguments of nginx, with the page's lines."""
    text = snippet("Behind nginx").replace("relay.example.org", NAME)
    text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl").replace("127.0.0.1:8765", relay.host)
    text = text.replace(
        "# ssl_certificate ...; ssl_certificate_key ...;", f"ssl_certificate {cert}; ssl_certificate_key {key};"
    )
    paths = "\n".join(f"{what}_temp_path {folder / what};" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config = folder / "nginx.conf"
    whole = f"daemon off;\npid {folder / 'nginx.pid'};\nevents {{}}\nhttp {{\naccess_log off;\n{paths}\n{text}\n}}\n"
    config.write_text(whole)
    return ["-c", str(config), "-p", str(folder), "-e", str(folder / "nginx-error.log")]


Proxy = Callable[[Path, RelayProcess, int, Path, Path], list[str]]


@contextmanager
def running(proxy: Proxy, folder: Path, relay: RelayProcess, port: int, cert: Path, key: Path) -> Iterator[None]:
    """The proxy in front of the relay, as a process."""
    program = proxy.__name__
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        if REQUIRED:
            pytest.fail(f"{program} is not installed")
        pytest.skip(f"{program} is not installed here")
    folder.mkdir()
    command = [found, *proxy(folder, relay, port, cert, key)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"HOME": str(folder)})
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)


@pytest.mark.parametrize("proxy", [caddy, nginx])
def test_a_couple_syncs_through_a_proxy_as_the_page_sets_it_up(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They pair, write and come to the same; the proof of identity holds for the name that they dialled."""
    cert, key = certify(tmp_path, NAME)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    flags = ("--registration", "open", "--trusted-proxy", "127.0.0.1")
    with RelayProcess(tmp_path / "relay", *flags) as relay:
        port = free_port()
        with running(proxy, tmp_path / proxy.__name__, relay, port, cert, key):
            sam, robin = Home(tmp_path / "sam", "Sam"), Home(tmp_path / "robin", "Robin")
            # A code for this machine itself means ws://, unless the one who types it has set the relay.
            robin.run("relay", "set", f"wss://{NAME}:{port}")
            pair(sam, robin, f"wss://{NAME}:{port}")
            written = sam.write("you held the ladder")
            sam.run("sync")
            robin.run("sync")
            assert written in robin.ids()
            assert sam.pair_digest() == robin.pair_digest()
        # The proxy is gone: said in one sentence, and nothing is lost.
        kept = sam.write("while the proxy was away")
        code, _, err = sam.call("sync")
        assert code == 5
        assert "can't be reached" in err
        with running(proxy, tmp_path / "again", relay, port, cert, key):
            sam.run("sync")
            robin.run("sync")
            assert kept in robin.ids()


@pytest.mark.parametrize("proxy", [caddy, nginx])
def test_a_certificate_of_another_name_or_of_nobody_known_is_refused(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent, and it is said in one sentence."""
    other, other_key = certify(tmp_path, "elsewhere.example")
    known, _ = certify(tmp_path, NAME)
    with RelayProcess(tmp_path / "relay", "--registration", "open") as relay:
        port = free_port()
        with running(proxy, tmp_path / proxy.__name__, relay, port, other, other_key):
            sam = Home(tmp_path / "sam", "Sam")
            sam.write_privately("before anything was sent")
            # Known to the device, but for another name; and for a name that nobody known has signed.
            for trusted in (other, known):
                monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
                code, _, err = sam.call("relay", "set", f"wss://{NAME}:{port}")
                code, _, err = sam.call("sync") if code == 0 else (code, "", err)
                assert code not in (0, 1)
                assert "certificate can't be verified, so nothing was sent" in err
        assert "Traceback" not in relay.log
