"""`kernel.db.upgrade_schema` reads the newest revision off the file names, so names and revisions must agree."""

import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from services.kernel.db import open_engine, sqlite_url, upgrade_schema

ROOT = Path(__file__).parents[3]
FOLDERS = sorted(ROOT.glob("services/*/migrations"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_revisions_form_one_line_in_the_order_of_their_file_names(folder):
    names = sorted(path.name for path in (folder / "versions").glob("[!_]*.py"))
    revisions = [revision.revision for revision in ScriptDirectory(str(folder)).walk_revisions()][::-1]
    assert names
    assert all(re.fullmatch(r"m\d{4}_[a-z0-9_]+\.py", name) for name in names)
    assert [name[1:5] for name in names] == revisions
    assert revisions == [f"{number:04d}" for number in range(1, len(names) + 1)]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_upgrade_twice_ends_at_the_newest_revision(folder, tmp_path):
    engine = open_engine(sqlite_url(tmp_path / "new.db"))
    for _ in range(2):
        upgrade_schema(engine, f"services.{folder.parent.name}")
        with engine.begin() as connection:
            found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one()
            assert f"m{found}" == max(path.name for path in (folder / "versions").glob("m*.py"))[:5]
    engine.dispose()
