"""What a database error says of a statement: never the values."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gristmill.db.engine import make_engine
from gristmill.ports import StateUnavailable


async def test_an_error_does_not_show_what_was_to_be_stored(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path}/state/gristmill.db")

    token = "secret" + str(-7)  # not as it is, since a traceback quotes this file

    async def work(connection: AsyncConnection) -> None:
        await connection.execute(sa.text("INSERT INTO nowhere VALUES (:token)"), {"token": token})

    try:
        with pytest.raises(StateUnavailable) as caught:
            await engine.write(work)
    finally:
        await engine.close()
    shown = "".join(traceback.format_exception(caught.value))
    assert "nowhere" in shown
    assert token not in shown
