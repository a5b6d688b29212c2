from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from gristmill.deploy.errors import BadRequirement
from gristmill.deploy.requirements import read_requirements, requirement_lines

HASH = f"--hash=sha256:{'0a' * 32}"


def lines(text: str) -> list[str]:
    return requirement_lines(text, "requirements.txt")


def test_names_versions_extras_and_markers_pass_without_comments() -> None:
    text = """\
# what the model needs
scikit-learn == 1.5.2   # as it was fitted

pandas[parquet]>=2,<4; python_version >= "3.11"
numpy
"""
    assert lines(text) == [
        "scikit-learn==1.5.2",
        'pandas[parquet]<4,>=2; python_version >= "3.11"',
        "numpy",
    ]


def test_hashes_pass_on_lines_that_go_on_as_pip_compile_writes_them() -> None:
    assert lines(f"numpy==2.0.0 \\\n    {HASH} \\\n    {HASH}\npandas==2.2.0 {HASH}\n") == [
        f"numpy==2.0.0 {HASH} {HASH}",
        f"pandas==2.2.0 {HASH}",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://evil.example.com/simple",
        "-i https://evil.example.com/simple",
        "--extra-index-url=https://evil.example.com",
        "--find-links /tmp",
        "--trusted-host evil.example.com",
        "--pre",
        "-r other.txt",
        "-c constraints.txt",
        "-e .",
        "-e git+https://example.com/a.git",
        "git+https://example.com/a.git",
        "https://example.com/a.whl",
        "a @ https://example.com/a.whl",
        "a @ file:///etc/passwd",
        "./a",
        "../a.whl",
        "/srv/a.whl",
        "a.whl; import os",
        "numpy --global-option=--evil",
        'numpy --config-settings="a=b"',
        f"numpy {HASH} --pre",
        f"numpy {HASH} -r other.txt",
        "numpy --hash=md5:00",
        "numpy==1.0 --hash=sha256:xyz",
        "numpy $(id)",
        "${EVIL}",
        'numpy; python_version < "${EVIL}"',
        "numpy pandas",
        "numpy\x00",
        "numpy\u2028--pre",
        "nümpy",
        "numpy\x0b--pre",
        "numpy\x85--pre",
    ],
)
def test_anything_else_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(BadRequirement, match=r"requirements\.txt, line 3: "):
        lines(f"pandas\n# a comment\n{line}\n")


@pytest.mark.parametrize(
    "text",
    [
        "numpy \\\n--index-url https://evil.example.com\n",
        "# a comment \\\n--pre\n",
        "numpy # a comment \\\n--pre\n",
        "\\\n--pre",
        "numpy \\\n  -r other.txt",
        "pandas \\",
    ],
)
def test_a_backslash_hides_nothing(text: str) -> None:
    with pytest.raises(BadRequirement):
        lines(text)


@given(st.text(alphabet=st.sampled_from("abn-=><.;\\\n\r #@:/${}\"'[]()1,_ "), max_size=80))
def test_whatever_passes_is_one_package_a_line(text: str) -> None:
    try:
        found = lines(text)
    except BadRequirement:
        return
    for line in found:
        assert "\n" not in line
        assert "\\" not in line
        assert not line.startswith("-")
        assert Requirement(line).url is None


def test_a_byte_order_mark_is_no_part_of_a_name_and_other_encodings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.txt"
    path.write_bytes(b"\xef\xbb\xbfnumpy\n")
    assert read_requirements(path, "r.txt") == ["numpy"]
    path.write_bytes("numpy\n".encode("utf-16"))
    with pytest.raises(BadRequirement, match=r"r\.txt is not UTF-8"):
        read_requirements(path, "r.txt")


def test_a_file_too_large_to_be_one_of_requirements_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.txt"
    path.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(BadRequirement, match="1,048,576 at most"):
        read_requirements(path, "r.txt")
