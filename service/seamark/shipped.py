"""A name -> where the folder that ships with Seamark lies: in the wheel, or in the checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """Return the folder `migrations`, `dashboards` or `loadtests`.

    In an installed wheel these lie in the package under `_shipped`; in a checkout at its top.
    """
    for place in (_PACKAGE / "_shipped" / name, _PACKAGE.parent.parent / name):
        if place.is_dir():
            return place
    raise FileNotFoundError(f"{name} came neither with the installed package nor with a checkout; reinstall seamark")
