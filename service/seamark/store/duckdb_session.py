"""One DuckDB instance for many threads: a cursor for each call, and a broken instance is given up and made anew."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

from seamark.core.errors import StoreUnavailable
from seamark.store.lake_connection import Place
from seamark.store.lake_schema import without_nul

CHUNK_ROWS = 100_000  # of an answer: who goes through a large one chunk by chunk need not hold all of it
# What a caller did wrong; everything else DuckDB raises is the lake's own trouble.
_CALLERS = (
    duckdb.ParserException,
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.DataError,
    duckdb.IntegrityError,
)


class Session:
    """The instance of one lake, made by `connect` where there is none."""

    def __init__(self, place: Place, connect: Callable[[Place], duckdb.DuckDBPyConnection]) -> None:
        self._place = place
        self._connect = connect
        self._opening = threading.Lock()
        self._root: duckdb.DuckDBPyConnection | None = None
        self._closed = False
        self._tickets = 0  # calls begun
        self._running: set[int] = set()  # tickets of those that have not ended
        self._marked = 0  # tickets given out at mark()

    def use(self, root: duckdb.DuckDBPyConnection) -> None:
        """Take this instance."""
        with self._opening:
            self._root = root

    def query(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> pa.Table:
        """Return what `sql` finds; StoreUnavailable where the lake did not answer, DuckDB's own where SQL is wrong."""
        with self.cursor() as cursor:
            return cursor.execute(sql, clean(parameters)).to_arrow_table(CHUNK_ROWS)

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for one thread and one call; an open transaction ends with it."""
        with self._opening:
            if self._closed:
                raise StoreUnavailable("the lake is closed")
            if self._root is None:
                self._root = self._connect(self._place)
            root = self._root
            cursor = root.cursor()
            self._tickets += 1
            ticket = self._tickets
            self._running.add(ticket)
        try:
            yield cursor
        except _CALLERS:
            raise
        except duckdb.Error as error:
            if not isinstance(error, duckdb.OutOfMemoryException):
                self._give_up(root)
            # Without the cause: its text may hold the catalog's password.
            raise StoreUnavailable(f"the lake did not answer: {self._place.scrub(error)}") from None
        except StoreUnavailable:
            self._give_up(root)
            raise
        finally:
            cursor.close()
            with self._opening:
                self._running.discard(ticket)

    def mark(self) -> None:
        """Remember the calls that have begun, for still_running()."""
        with self._opening:
            self._marked = self._tickets

    def still_running(self) -> bool:
        """Whether a call runs that began before the last mark()."""
        with self._opening:
            return min(self._running, default=self._tickets + 1) <= self._marked

    def renew(self) -> None:
        """Let the next call open a new instance, and the old one end with its last cursor."""
        with self._opening:
            self._root = None

    def close(self) -> bool:
        """Close the instance; return whether there was one."""
        with self._opening:
            self._closed = True
            root, self._root = self._root, None
            if root is not None:
                root.close()
            return root is not None

    def _give_up(self, root: duckdb.DuckDBPyConnection) -> None:
        """Let the next call open a new instance. The old one ends when its last cursor does."""
        with self._opening:
            if self._root is root:
                self._root = None


def clean(parameters: Sequence[Any] | Mapping[str, Any]) -> list[Any] | dict[str, Any]:
    """Return parameters as the lake stores such values: see without_nul()."""
    if isinstance(parameters, Mapping):
        return {name: without_nul(value) if isinstance(value, str) else value for name, value in parameters.items()}
    return [without_nul(value) if isinstance(value, str) else value for value in parameters]
