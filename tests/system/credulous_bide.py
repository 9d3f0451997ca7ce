"""``bide`` with a safety taken out: of what others cite it looks at the numbers only. The campaign must then find nothing."""

from __future__ import annotations

import sys

from bide.replica.sync import witnessing
from bide_cli.main import main

if __name__ == "__main__":
    witnessing.holds = lambda *_: True
    sys.exit(main())
