"""What a wheel brings besides the program: the manual and the completion files, where systems look for them."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHARE = {
    "share/bash-completion/completions/bide": "client_cli/bide_cli/completions/bide.bash",
    "share/zsh/site-functions/_bide": "client_cli/bide_cli/completions/_bide",
    "share/fish/vendor_completions.d/bide.fish": "client_cli/bide_cli/completions/bide.fish",
    "share/man/man1/bide.1": "docs/man/bide.1",
    "share/man/man1/bide-thank.1": "docs/man/bide-thank.1",
}


def test_the_wheel_installs_the_manual_and_the_completion_files(tmp_path: Path) -> None:
    """Byte for byte, and every page of the manual."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        data = {name.partition(".data/data/")[2]: name for name in archive.namelist() if ".data/data/" in name}
        for target, source in SHARE.items():
            assert archive.read(data[target]) == (ROOT / source).read_bytes(), target
        assert "bide_cli/completions/bide.bash" in archive.namelist()
    assert sum(target.startswith("share/man/man1/") for target in data) == len(list((ROOT / "docs/man").glob("*.1")))
