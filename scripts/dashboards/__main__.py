"""What an SRE wants to see becomes dashboards/*.json; `make dashboards` writes them, `--check` only compares.

Findings stand alike on every node's page, so panels take their max; counts differ by node, so panels add them up.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fleet import fleet
from loadtests import loadtests
from model import model

FOLDER = Path(__file__).resolve().parents[2] / "dashboards"


def main() -> int:
    """Write the three files; with --check return 1 where one differs."""
    documents = {"fleet.json": fleet(), "model.json": model(), "loadtests.json": loadtests()}
    for name, document in documents.items():
        text = json.dumps(document, indent=2) + "\n"
        path = FOLDER / name
        if "--check" not in sys.argv:
            path.write_text(text)
            print(f"wrote dashboards/{name}")
        elif not path.exists() or path.read_text() != text:
            print(f"dashboards/{name} differs from scripts/dashboards; run `make dashboards`")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
