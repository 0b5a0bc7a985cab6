"""Decoded rows to how much was cut from them, by the marks that cutting leaves in the rows themselves.

Whatever decoded a request, what it cut is counted the same way, and a reader of the row sees the same figure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from seamark.wire.attributes import CUT, CUT_EVENTS, CUT_LINKS, TOO_DEEP
from seamark.wire.values import CUT_NAME, NAME_LENGTH_MAX

WHAT = ("attributes", "events", "links", "depth", "names")  # what is ever cut
_JSON = ("attributes", "resource", "events", "links")
_NAMES = ("model", "version", "service", "instance", "route", "name", "scope")
_ATTRIBUTES = re.compile(rf'"{re.escape(CUT)}":(\d{{1,12}})')
_ITEMS = {
    "events": re.compile(rf'"name":"{re.escape(CUT_EVENTS)}","count":(\d{{1,12}})'),
    "links": re.compile(rf'"name":"{re.escape(CUT_LINKS)}","count":(\d{{1,12}})'),
}
_MARKS = re.escape("seamark.cut_") + "|" + re.escape(TOO_DEEP)


def cut_from(tables: Mapping[str, pa.Table]) -> dict[str, int]:
    """Return what was cut, by WHAT; only what was cut at all. A resource that many spans share counts once."""
    found = dict.fromkeys(WHAT, 0)
    for table in tables.values():
        for name in _JSON:
            if name in table.column_names and pa.types.is_string(table.schema.field(name).type):
                _count_marks(table[name], name, found)
        for name in _NAMES:
            if name in table.column_names:
                found["names"] += _names_cut(table[name])
    return {what: count for what, count in found.items() if count}


def _count_marks(column: pa.ChunkedArray, name: str, found: dict[str, int]) -> None:
    marked = column.filter(pc.match_substring_regex(column, _MARKS))
    if not len(marked):
        return
    texts = pc.unique(marked) if name == "resource" else marked
    for text in texts.to_pylist():
        found["attributes"] += sum(map(int, _ATTRIBUTES.findall(text)))
        found["depth"] += text.count(TOO_DEEP)
        if name in _ITEMS:
            found[name] += sum(map(int, _ITEMS[name].findall(text)))


def _names_cut(column: pa.ChunkedArray) -> int:
    long = pc.and_(pc.equal(pc.utf8_length(column), NAME_LENGTH_MAX), pc.ends_with(column, CUT_NAME))
    return int(pc.sum(long).as_py() or 0)
