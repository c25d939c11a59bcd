"""The throw-away servers start, keep the data they should, and never outlive their parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
import redis

from tools.postgres import PostgresServer, find_postgres
from tools.process import ServiceError, free_port
from tools.redis import RedisServer

ROOT = Path(__file__).resolve().parents[2]

PARENT = """
import os, time
from tools.services import PostgresServer, RedisServer
servers = PostgresServer().start(), RedisServer().start()
def say(pid, directory):  # In one write: print makes several, which can mix with the other's.
    os.write(1, f"{pid} {directory}\\n".encode())
if os.fork():
    for server in servers:
        say(server.pid, server.keeper.directory)
else:
    say(os.getpid(), "")
time.sleep(60)
"""


def query(url: str, statement: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        rows = cursor.fetchall() if cursor.description else []
        connection.commit()
        return rows


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


class TestPostgres:
    def test_is_new_enough_utf8_and_forgetful(self, postgres: PostgresServer) -> None:
        shown = query(
            postgres.url(),
            "SELECT current_setting('server_version_num')::int >= 150000,"
            " current_setting('server_encoding'), current_setting('fsync'),"
            " current_setting('max_connections'), current_user",
        )
        assert shown == [(True, "UTF8", "off", "200", "app")]

    def test_copies_a_template_and_drops_the_copy(self, postgres: PostgresServer) -> None:
        template = postgres.create_database("template of tests")
        query(template, "CREATE TABLE t AS SELECT 7 AS n")
        copy = postgres.create_database("copy", template="template of tests")
        with closing(psycopg2.connect(copy)) as busy, busy.cursor() as cursor:
            cursor.execute("SELECT n FROM t")
            assert cursor.fetchall() == [(7,)]
            postgres.drop_database("copy")
        postgres.drop_database("copy")
        names = query(postgres.url(), "SELECT datname FROM pg_database")
        assert ("copy",) not in names
        assert ("template of tests",) in names

    def test_comes_back_on_its_port_with_its_data(self, postgres: PostgresServer) -> None:
        url, pid = postgres.create_database("kept"), postgres.pid
        query(url, "CREATE TABLE t AS SELECT 7 AS n")
        postgres.restart()
        assert query(url, "SELECT n FROM t") == [(7,)]
        assert postgres.pid != pid

    def test_durable_keeps_every_commit_over_a_crash(self) -> None:
        with PostgresServer(durable=True, max_connections=20) as server:
            query(server.url(), "CREATE TABLE t AS SELECT 7 AS n")
            server.kill()
            with pytest.raises(psycopg2.OperationalError):
                psycopg2.connect(server.url())
            server.start()
            shown = query(
                server.url(),
                "SELECT n, current_setting('fsync'), current_setting('synchronous_commit'),"
                " current_setting('full_page_writes'), current_setting('max_connections') FROM t",
            )
        assert shown == [(7, "on", "on", "on", "20")]

    def test_the_wheel_works_even_where_the_servers_user_cannot_look(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        installed = find_postgres("wheel").folder
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o700)
        (locked / "site-packages").symlink_to(installed.parents[2])
        sought = [str(locked / "site-packages"), *(p for p in sys.path if "site-packages" not in p)]
        with monkeypatch.context() as patch:
            patch.setattr(sys, "path", sought)
            server = PostgresServer(source="wheel")
        assert server.installation.folder.is_relative_to(locked)
        with server:
            assert query(server.url(), "SELECT gen_random_uuid() IS NOT NULL") == [(True,)]
        assert locked.stat().st_mode & 0o777 == 0o700


class TestRedis:
    def test_answers_and_keeps_nothing_over_a_restart(self, redis_server: RedisServer) -> None:
        with redis.Redis.from_url(redis_server.url(db=3)) as client:
            client.set("k", "v")
            assert client.get("k") == b"v"
            assert client.config_get("save") == {"save": ""}
            port, pid = redis_server.port, redis_server.pid
            redis_server.restart()
            assert (redis_server.port, redis_server.pid == pid) == (port, False)
            assert client.get("k") is None

    def test_the_wheel_keeps_what_it_answered_over_a_crash(self) -> None:
        server = RedisServer(source="wheel", appendonly=True)
        with server, redis.Redis.from_url(server.start().url()) as client:
            client.set("k", "v")
            server.kill()
            with pytest.raises(redis.ConnectionError):
                client.ping()
            server.start()
            assert client.get("k") == b"v"


class TestServer:
    def test_nothing_is_left_when_the_parent_is_killed(self) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, cwd=ROOT
        ) as parent:
            assert parent.stdout is not None
            lines = [parent.stdout.readline().rstrip("\n").split(" ", 1) for _ in range(3)]
            servers = {int(pid): Path(directory) for pid, directory in lines if directory}
            [forked] = [int(pid) for pid, directory in lines if not directory]
            assert len(servers) == 2
            assert not any(is_gone(pid) for pid in servers)
            assert all(directory.is_dir() for directory in servers.values())
            parent.kill()
        try:
            wait_until(lambda: all(is_gone(pid) for pid in servers))
            wait_until(lambda: not any(directory.exists() for directory in servers.values()))
            assert not is_gone(forked)  # A child that it forked must not keep the servers alive.
        finally:
            os.kill(forked, signal.SIGKILL)

    def test_closing_removes_the_files_and_may_be_repeated(self) -> None:
        server = RedisServer().start()
        directory = server.keeper.directory
        assert directory.is_dir()
        server.close()
        server.close()
        assert not directory.exists()

    def test_says_why_it_does_not_start_and_leaves_nothing(self, redis_server: RedisServer) -> None:
        taken = RedisServer(port=redis_server.port)
        with pytest.raises(ServiceError, match=r"(?s)redis did not start:.*bind"):
            taken.start()
        with pytest.raises(ServiceError, match="not been started"):
            taken.keeper.ask("poll")

    def test_a_free_port_is_outside_the_range_of_clients(self) -> None:
        assert all(15_000 <= free_port() < 32_000 for _ in range(20))
