"""The items of a batch as one file."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.batch_inputs import InputReader, InputWriter
from gristmill.errors import GristmillError


@given(st.lists(st.binary(max_size=50)))
def test_items_are_read_as_they_were_written(items: list[bytes]) -> None:
    with tempfile.TemporaryFile() as file:
        writer = InputWriter(file)
        for item in items:
            writer.add(item)
        writer.finish()
        assert file.tell() == 0
        reader = InputReader(file)
        assert len(reader) == len(writer) == len(items)
        assert [reader.item(index) for index in range(len(items))] == items
        assert [reader.size(index) for index in range(len(items))] == [len(item) for item in items]


@pytest.mark.parametrize("content", [b"", b"GMBATCH1", b"x" * 100, b"\xff" * 8 + b"GMBATCH1"])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "inputs"
    path.write_bytes(content)
    with path.open("rb") as file, pytest.raises(GristmillError, match="damaged"):
        InputReader(file)
