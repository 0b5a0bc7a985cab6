"""Where a lake lies, to an open DuckDB connection that can reach that place and nothing else."""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import duckdb
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from seamark.core.errors import StartRefused, StoreUnavailable

METADATA_SCHEMA = "seamark_lake"  # in PostgreSQL, beside the service's own tables
THREADS = 2
MEMORY_LIMIT = "512MB"
SPILL_LIMIT = "8GB"  # of disk, for queries larger than memory
# libpq's words for noticing within seconds that a server is gone; a URL may say otherwise.
_PATIENCE = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}
_MESSAGE_MAX = 500
BUSY_TIMEOUT_MS = 2000  # how long a SQLite catalog that another program has locked is waited for


@dataclass(frozen=True)
class S3Options:
    """How to reach the object store. Without an endpoint it is AWS; without keys, requests go unsigned.

    `path_style` puts the bucket into the path (MinIO, SeaweedFS and most others); None: yes where an endpoint is given.
    """

    endpoint: str | None = None  # http://host:port
    region: str = "us-east-1"
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    path_style: bool | None = None


@dataclass(frozen=True)
class Place:
    """Where one lake lies: its catalog, its data files, and the folder for spilled queries."""

    catalog: str = field(repr=False)  # as ATTACH wants it, may hold a password
    data_path: str  # a folder or s3://bucket/prefix, with a trailing slash
    spill_dir: Path
    postgres_dsn: str | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)  # never shown in a message
    s3: S3Options | None = None
    movable: bool = False  # catalog and files lie in one folder of ours, which may have been moved

    @property
    def folder(self) -> Path | None:
        """The data folder, or None in an object store."""
        return None if self.data_path.startswith("s3://") else Path(self.data_path)

    @property
    def local(self) -> bool:
        """Whether catalog and data files both lie on a disk of this machine, and this process alone writes there."""
        return self.embedded and self.folder is not None

    @property
    def embedded(self) -> bool:
        """Whether the catalog is a SQLite file, which knows one writer at a time."""
        return self.postgres_dsn is None

    def scrub(self, message: object) -> str:
        """Return `message` in one line, without any secret."""
        text = str(message)
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return " ".join(text.split())[:_MESSAGE_MAX]


def place_of(*, data_dir: Path, catalog_url: str, location: str | None, s3: S3Options | None) -> Place:
    """Return where the lake of these settings lies, its folders made; StartRefused where they make no sense."""
    data_dir = data_dir.resolve()
    data_path = _data_path(location or str(data_dir / "lake"), s3)
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        if not data_path.startswith("s3://"):
            Path(data_path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartRefused(f"cannot make the lake's folder {error.filename}: {error.strerror}") from error
    hidden = [secret for secret in (s3.secret_access_key, s3.access_key_id) if secret] if s3 else []
    dsn = None
    if catalog_url.startswith("postgres"):
        dsn, password = _postgres_dsn(catalog_url)
        hidden += [password, _escaped(password)] if password else []
    return Place(
        catalog=f"postgres:{dsn}" if dsn else f"sqlite:{data_dir / 'lake.sqlite'}",
        data_path=data_path,
        spill_dir=data_dir / "lake.spill",
        postgres_dsn=dsn,
        secrets=tuple(hidden),
        s3=s3,
        movable=dsn is None and location is None,
    )


def connect(place: Place) -> duckdb.DuckDBPyConnection:
    """Return a new DuckDB instance with the lake attached as `lake`; StoreUnavailable where it cannot be reached."""
    return _made(place, attached=True)


def connect_to_files(place: Place) -> duckdb.DuckDBPyConnection:
    """Return a new DuckDB instance that knows no lake, and can read the data files of this one."""
    return _made(place, attached=False)


def _made(place: Place, *, attached: bool) -> duckdb.DuckDBPyConnection:
    root = duckdb.connect(
        ":memory:",
        config={
            "allow_unsigned_extensions": "false",
            "allow_community_extensions": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",  # no Python variable is a table
            "threads": THREADS,
            "memory_limit": MEMORY_LIMIT,
            "enable_external_file_cache": "false",  # the system has files in memory; a second copy is not worth it
            "temp_directory": str(place.spill_dir),
            "max_temp_directory_size": SPILL_LIMIT,
            "secret_directory": str(place.spill_dir),  # the person's own stored secrets are not ours to read
        },
    )
    try:
        with reaching(place):
            root.execute("SET GLOBAL TimeZone = 'UTC'")
            root.execute("SET parquet_metadata_cache = true")  # files never change: a footer is read once
            root.execute("SET late_materialization_max_rows = 0")  # sorted and limited reads are read once, not twice
            if attached:
                _attach_to(root, place)
            # From here on the instance reaches the lake's own files only, whatever SQL it is given.
            folders = {place.data_path, as_glob(place.data_path), f"{place.spill_dir}/"}
            root.execute(f"SET allowed_directories = [{', '.join(map(quoted, sorted(folders)))}]")
            root.execute("SET enable_external_access = false")
            root.execute("SET lock_configuration = true")
    except BaseException:
        root.close()
        raise
    return root


def _attach_to(root: duckdb.DuckDBPyConnection, place: Place) -> None:
    for extension in _extensions(place):
        root.execute(f"LOAD {quoted(str(extension_file(extension)))}")
    if place.s3 is not None:
        root.execute(_s3_secret(place))
    root.execute(_attach(place))


@contextmanager
def reaching(place: Place) -> Iterator[None]:
    """Turn what DuckDB raises inside into StartRefused (another lake's place) or StoreUnavailable, without secrets."""
    try:
        yield
    except duckdb.Error as error:
        message = place.scrub(error)
        # Without the cause: its text holds the catalog's password.
        if "does not match existing data path" in message:
            raise StartRefused(
                f"SEAMARK_LAKE: this catalog's lake lies elsewhere than {place.data_path}: {message}"
            ) from None
        raise StoreUnavailable(f"the lake cannot be reached: {message}") from None


def extension_file(name: str) -> Path:
    """Return DuckDB's extension `name` in its installed wheel; DuckDB checks its signature when loading."""
    module = importlib.util.find_spec(f"duckdb_extension_{name}")
    folders = module.submodule_search_locations if module else None
    path = Path(folders[0]) / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension" if folders else None
    if path is None or not path.is_file():
        package = f"duckdb-extension-{name.replace('_', '-')}"
        raise StartRefused(f"DuckDB {duckdb.__version__} needs the package {package} of the same version")
    return path


def quoted(text: str) -> str:
    """Return `text` as a SQL string."""
    return "'" + text.replace("'", "''") + "'"


def as_glob(path: str) -> str:
    """Return the pattern of file names, as read_parquet() wants them, that only `path` fits."""
    return re.sub(r"([\[*?])", r"[\1]", path)


def remove_spill(place: Place) -> None:
    """Remove what queries spilled to disk."""
    shutil.rmtree(place.spill_dir, ignore_errors=True)


def _extensions(place: Place) -> list[str]:
    catalog = "sqlite_scanner" if place.embedded else "postgres_scanner"
    return [catalog, *(["httpfs"] if place.folder is None else []), "ducklake"]


def _attach(place: Place) -> str:
    options = [f"DATA_PATH {quoted(place.data_path)}", "DATA_INLINING_ROW_LIMIT 0"]
    if place.embedded:
        # With a write-ahead log, reading does not lock writers out.
        options += ["META_JOURNAL_MODE 'WAL'", f"META_BUSY_TIMEOUT {BUSY_TIMEOUT_MS}"]
    else:
        options += [f"METADATA_SCHEMA {quoted(METADATA_SCHEMA)}"]
    if place.movable:
        options += ["OVERRIDE_DATA_PATH true"]
    return f"ATTACH {quoted('ducklake:' + place.catalog)} AS lake ({', '.join(options)})"


def _s3_secret(place: Place) -> str:
    assert place.s3 is not None
    bucket = urlsplit(place.data_path).netloc
    options = ["TYPE s3", f"SCOPE {quoted(f's3://{bucket}')}", f"REGION {quoted(place.s3.region)}"]
    if place.s3.access_key_id:
        options += [
            f"KEY_ID {quoted(place.s3.access_key_id)}",
            f"SECRET {quoted(place.s3.secret_access_key or '')}",
        ]
    if place.s3.endpoint:
        endpoint = urlsplit(place.s3.endpoint if "//" in place.s3.endpoint else f"https://{place.s3.endpoint}")
        options += [f"ENDPOINT {quoted(endpoint.netloc)}", f"USE_SSL {str(endpoint.scheme != 'http').lower()}"]
    if place.s3.path_style or (place.s3.path_style is None and place.s3.endpoint):
        options += ["URL_STYLE 'path'"]
    return f"CREATE SECRET seamark_lake ({', '.join(options)})"


def _data_path(location: str, s3: S3Options | None) -> str:
    scheme = urlsplit(location).scheme if "://" in location else ""
    if scheme == "s3":
        if s3 is None:
            raise StartRefused(f"SEAMARK_LAKE is {location}: SEAMARK_S3_* settings must say how to reach it")
        if not urlsplit(location).netloc:
            raise StartRefused(f"SEAMARK_LAKE is {location!r}: write s3://bucket/prefix")
        return location.rstrip("/") + "/"
    if scheme:
        raise StartRefused(f"SEAMARK_LAKE is {location!r}: write a folder or s3://bucket/prefix")
    return f"{Path(location).resolve()}/"


def _postgres_dsn(catalog_url: str) -> tuple[str, str | None]:
    """Return libpq's key=value text for a SQLAlchemy URL, and its password."""
    try:
        url = make_url(catalog_url)
    except ArgumentError:
        raise StartRefused("SEAMARK_DATABASE_URL is not a URL; write postgresql://user@host:5432/database") from None
    parts: dict[str, str | None] = {
        "host": url.host,
        "port": str(url.port) if url.port else None,
        "user": url.username,
        "password": url.password,
        "dbname": url.database,
        **_PATIENCE,
    }
    parts |= {name: value if isinstance(value, str) else ",".join(value) for name, value in url.query.items()}
    return " ".join(f"{name}={_escaped(value)}" for name, value in parts.items() if value), url.password


def _escaped(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
