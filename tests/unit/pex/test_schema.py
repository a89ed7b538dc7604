"""The migrations lead to the declared tables."""

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from services.direng import tables as direng_tables
from services.kernel.db import open_engine, sqlite_url, upgrade_schema
from services.pex import tables as pex_tables

CASES = {"services.pex": pex_tables.METADATA, "services.direng": direng_tables.METADATA}


@pytest.mark.parametrize("package", CASES)
def test_migrated_schema_equals_the_declared_one(package, tmp_path):
    engine = open_engine(sqlite_url(tmp_path / "new.db"))
    upgrade_schema(engine, package)
    with engine.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), CASES[package]) == []
        checks = {
            each["name"]
            for table in CASES[package].tables
            for each in sa.inspect(connection).get_check_constraints(table)
        }
    declared = {
        str(each.name)
        for table in CASES[package].tables.values()
        for each in table.constraints
        if isinstance(each, sa.CheckConstraint)
    }
    assert checks == declared
    engine.dispose()
