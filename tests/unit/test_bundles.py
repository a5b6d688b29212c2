"""Bundles: what a folder to publish from holds, in which order, and when it is another one."""

import os
from pathlib import Path

import pytest

from gristmill.bundles import BadBundle, Bundle, find_bundles


def write(folder: Path, *names: str, content: str = "x") -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def steps(folder: Path) -> list[tuple[str, list[str]]]:
    return [(bundle.name, [step.path for step in bundle.steps]) for bundle in find_bundles(folder)]


def only(folder: Path) -> Bundle:
    (found,) = find_bundles(folder)
    return found


def test_each_folder_is_a_bundle_of_its_scripts_by_name(tmp_path: Path) -> None:
    write(tmp_path, "b/2.R", "b/1.py", "b/x.gm", "b/service.toml", "b/model.rds", "b/inner/helper.R", "a/z.r")
    assert steps(tmp_path) == [("a", ["z.r"]), ("b", ["1.py", "2.R", "service.toml", "x.gm"])]


def test_a_gristmill_toml_says_which_and_in_which_order(tmp_path: Path) -> None:
    write(tmp_path, "boston/fit.R", "boston/deploy.R", "boston/more/last.py")
    write(tmp_path, "boston/gristmill.toml", content='publish = ["more/last.py", "deploy.R"]\nname = "b"')
    assert steps(tmp_path) == [("boston", ["more/last.py", "deploy.R"])]


def test_a_folder_with_a_gristmill_toml_is_a_bundle_itself(tmp_path: Path) -> None:
    write(tmp_path, "fit.R", "deploy.R", "data/z.R")
    write(tmp_path, "gristmill.toml", content='publish = ["deploy.R"]')
    assert steps(tmp_path) == [(tmp_path.name, ["deploy.R"])]


def test_lone_files_are_bundles_between_the_folders(tmp_path: Path) -> None:
    write(tmp_path, "a.gm", "b/x.R", "c.py", "model.pkl", "README.md")
    assert steps(tmp_path) == [("a.gm", ["a.gm"]), ("b", ["x.R"]), ("c.py", ["c.py"])]


def test_hidden_things_and_folders_without_scripts_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, ".git/a.py", "a/.secret.py", "a/__pycache__/x.py", "a/run.py", "empty/README", ".b.py")
    assert steps(tmp_path) == [("a", ["run.py"])]
    assert [path.name for path in only(tmp_path).files] == ["run.py"]


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    assert find_bundles(tmp_path) == []


def test_a_missing_folder_and_a_file_are_said(tmp_path: Path) -> None:
    write(tmp_path, "file")
    for path, why in ((tmp_path / "nowhere", "No such file"), (tmp_path / "file", "Not a directory")):
        with pytest.raises(BadBundle, match=f"{path.name}: {why}"):
            find_bundles(path)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ('publish = ["nowhere.R"]', "no such file"),
        ('publish = ["../a.R"]', "no file inside"),
        ('publish = ["/etc/a.R"]', "no file inside"),
        ('publish = [""]', "no file inside"),
        ('publish = ["model.rds"]', "can hold scripts"),
        ('publish = "deploy.R"', "a list of file names"),
        ("publish = [1]", "a list of file names"),
        ("publish = [", "cannot be read"),
        ("\udcff", "cannot be read"),
    ],
)
def test_a_wrong_gristmill_toml_is_named_with_what_is_wrong(tmp_path: Path, said: str, why: str) -> None:
    write(tmp_path, "b/deploy.R", "b/model.rds")
    (tmp_path / "b/gristmill.toml").write_bytes(said.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadBundle, match=rf"b/gristmill.toml.*{why}"):
        find_bundles(tmp_path)


def test_the_digest_is_that_of_names_and_bytes_and_of_nothing_else(tmp_path: Path) -> None:
    for place in ("one", "two"):
        write(tmp_path / place, "b/run.R", "b/data/m.rds", content="same")
    (tmp_path / "two/b/run.R").chmod(0o755)
    first = only(tmp_path / "one").digest()
    assert only(tmp_path / "two").digest() == first
    write(tmp_path / "two", "b/data/m.rds", content="other")
    changed = only(tmp_path / "two").digest()
    (tmp_path / "two/b/data/m.rds").rename(tmp_path / "two/b/data/n.rds")
    renamed = only(tmp_path / "two").digest()
    write(tmp_path / "two", "b/.hidden", "b/__pycache__/run.pyc")
    assert only(tmp_path / "two").digest() == renamed
    assert len({first, changed, renamed}) == 3


def test_a_lone_script_is_another_one_when_a_file_beside_it_is_but_an_exported_service_is_not(
    tmp_path: Path,
) -> None:
    write(tmp_path, "a.gm", "run.py", "model.pkl")
    before = [bundle.digest() for bundle in find_bundles(tmp_path)]
    write(tmp_path, "model.pkl", content="other")
    after = [bundle.digest() for bundle in find_bundles(tmp_path)]
    assert [b == a for b, a in zip(before, after, strict=True)] == [True, False]


def test_files_may_be_links_as_kubernetes_mounts_them(tmp_path: Path) -> None:
    write(tmp_path, "..2026_11_28/run.py", content="one")
    (tmp_path / "..data").symlink_to("..2026_11_28")
    (tmp_path / "run.py").symlink_to("..data/run.py")
    assert steps(tmp_path) == [("run.py", ["run.py"])]
    before = only(tmp_path).digest()
    write(tmp_path, "..2026_11_28/run.py", content="two")
    assert only(tmp_path).digest() != before


def test_links_to_folders_and_to_nowhere_count_by_where_they_lead(tmp_path: Path) -> None:
    write(tmp_path, "b/run.py", "data/x.csv", "more/x.csv")
    (tmp_path / "b/data").symlink_to("../data")
    (tmp_path / "b/loop.csv").symlink_to("loop.csv")
    before = [bundle.digest() for bundle in find_bundles(tmp_path)]
    (tmp_path / "b/data").unlink()
    (tmp_path / "b/data").symlink_to("../more")
    assert [bundle.digest() for bundle in find_bundles(tmp_path)] != before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    write(tmp_path, "b/run.py", "b/model.pkl")
    (tmp_path / "b/model.pkl").chmod(0)
    with pytest.raises(BadBundle, match=r"model\.pkl cannot be read"):
        only(tmp_path).digest()
