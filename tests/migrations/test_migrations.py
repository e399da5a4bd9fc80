"""The shipped migrations give exactly the tables of the models, and can be run by many workers at once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import Script
from sqlalchemy.orm import DeclarativeBase, mapped_column

from flask_oauth_accounts.errors import StorageUnavailable
from flask_oauth_accounts.storage import migrate
from flask_oauth_accounts.storage.models import define_models

TABLES = {"oauth_user", "oauth_identity", "oauth1_token", "oauth2_token", "oauth_event"}


def create_host_config(script: Path) -> Config:
    """An application's own migrations, none yet, made from the shipped ``env.py`` and template."""
    ours = Path(migrate.create_config().get_main_option("script_location") or "")
    (script / "versions").mkdir(parents=True)
    for name in ("env.py", "script.py.mako"):
        (script / name).write_text((ours / name).read_text())
    config = Config()
    config.set_main_option("script_location", str(script).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    return config


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """An empty database."""
    engine = sa.create_engine(database_url)
    yield engine
    engine.dispose()


def test_up_check_down(engine: sa.Engine) -> None:
    """An application that updates the package would run into missing tables or columns."""
    assert migrate.current(engine) is None
    assert migrate.check(engine)
    migrate.upgrade(engine)
    assert migrate.current(engine) == migrate.get_head() == "oa0001"
    assert migrate.check(engine) == []
    assert set(sa.inspect(engine).get_table_names()) == TABLES | {"oauth_accounts_version"}
    migrate.upgrade(engine)
    migrate.downgrade(engine, "base")
    assert set(sa.inspect(engine).get_table_names()) == {"oauth_accounts_version"}
    assert migrate.current(engine) is None
    migrate.upgrade(engine)
    assert migrate.check(engine) == []


def test_created_tables_can_be_stamped(engine: sa.Engine) -> None:
    """Whoever began with create_all could never change over to the migrations."""
    migrate.create_shipped_metadata().create_all(engine)
    assert migrate.check(engine) == ["the tables are of revision none, and oa0001 is needed"]
    migrate.stamp(engine)
    assert migrate.check(engine) == []


def test_check_names_what_is_wrong(engine: sa.Engine) -> None:
    """An operator would be told that something is wrong, but not what."""
    migrate.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE oauth_event"))
        connection.execute(sa.text("ALTER TABLE oauth2_token ADD COLUMN extra INTEGER"))
        connection.execute(sa.text("CREATE TABLE not_ours (id INTEGER PRIMARY KEY)"))
    found = " / ".join(migrate.check(engine))
    assert "add table oauth_event" in found
    assert "oauth2_token.extra" in found or "oauth2_token extra" in found
    assert "not_ours" not in found


def test_many_workers_start_at_once(engine: sa.Engine, database_url: str) -> None:
    """The first request after a deployment would fail in all workers but one."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(4)

    def work() -> None:
        own = sa.create_engine(database_url)
        try:
            barrier.wait()
            migrate.upgrade(own)
        except BaseException as error:
            errors.append(error)
        finally:
            own.dispose()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert migrate.check(engine) == []


def test_processes_start_at_once(database_url: str) -> None:
    """The same, for workers that are processes."""
    code = (
        "import sys, sqlalchemy as sa; from flask_oauth_accounts.storage import migrate;"
        "engine = sa.create_engine(sys.argv[1]); migrate.upgrade(engine); print(migrate.check(engine))"
    )
    workers = [
        subprocess.Popen([sys.executable, "-c", code, database_url], stdout=subprocess.PIPE, text=True, env=os.environ)
        for _ in range(3)
    ]
    assert [worker.communicate(timeout=120)[0].strip() for worker in workers] == ["[]"] * 3


@pytest.mark.parametrize("key_type", [sa.Integer(), sa.Uuid(), sa.String(36)], ids=["integer", "uuid", "string"])
def test_a_hosts_generated_migration_runs_unedited(
    engine: sa.Engine, key_type: sa.types.TypeEngine[object], tmp_path: Path
) -> None:
    """Way B: the host's own autogenerate would write code that does not run, or never come to rest."""

    class Base(DeclarativeBase):
        pass

    class User(Base):
        __tablename__ = "users"
        id = mapped_column(key_type, primary_key=True)

    models = define_models(Base, User)
    config = create_host_config(tmp_path / "host")
    with engine.begin() as connection:
        config.attributes |= {"connection": connection, "target_metadata": Base.metadata}
        script = command.revision(config, "generated", autogenerate=True)
        assert isinstance(script, Script)
        assert "flask_oauth_accounts" not in Path(script.path).read_text()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True, "version_table": "oauth_accounts_version"}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []
    tables = [models.OAuthIdentity.__table__, models.OAuth1Token.__table__, models.OAuth2Token.__table__]
    assert migrate.check(engine, [*tables, models.OAuthEvent.__table__]) == []


def test_versions_join_a_hosts_own_migrations(sqlite_url: str, tmp_path: Path) -> None:
    """A host that runs all migrations with one command could not include these."""
    script = tmp_path / "100%" / "host"
    config = create_host_config(script)
    ours = Path(migrate.create_config().get_main_option("script_location") or "")
    config.set_main_option("version_locations", f"{script / 'versions'}\n{ours / 'versions'}".replace("%", "%%"))
    config.set_main_option("sqlalchemy.url", sqlite_url)
    command.upgrade(config, "oauth_accounts@head")
    engine = sa.create_engine(sqlite_url)
    assert migrate.check(engine) == []
    engine.dispose()


def test_an_unreachable_database_is_said_as_such() -> None:
    """The operator would get a traceback of the driver, or not see which database is meant, or see its password."""
    for url in ("postgresql+psycopg://me:hidden@127.0.0.1:1/none?password=hidden", "sqlite:////no/such/folder/x.db"):
        with pytest.raises(StorageUnavailable) as caught:
            migrate.upgrade(sa.create_engine(url))
        text = caught.value.description
        assert ("at postgresql+psycopg://me:***@127.0.0.1:1/none " in text) or ("at sqlite:////no/such" in text)
        assert ("Connection refused" in text) or ("unable to open database file" in text)
        assert "hidden" not in text
