from __future__ import annotations

import os
from pathlib import Path

import pytest

from gristmill.deploy.context import ContextFile, epoch, files_of, lay_out
from gristmill.deploy.errors import BadFolder, SecretInFolder
from gristmill.deploy.project import Options, read_project

PEM = "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n"


def make(folder: Path, *names: str, text: str = "x") -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def found(folder: Path) -> list[ContextFile]:
    return files_of(folder, read_project(folder, Options(name="x")))


def paths(folder: Path) -> list[str]:
    return [entry.path for entry in found(folder)]


def test_everything_goes_in_but_hidden_files_and_byte_code(tmp_path: Path) -> None:
    make(tmp_path, "a.R", "data/b.csv", ".hidden", ".git/config", "__pycache__/a.pyc", "c.pyc", "sub/.x/y")
    assert paths(tmp_path) == ["a.R", "data/b.csv"]


def test_gristmillignore_leaves_out_and_brings_back_as_git_does(tmp_path: Path) -> None:
    make(tmp_path, "a.R", "a.csv", "keep.csv", "raw/b.txt", "sub/raw.csv", "sub/c.R", "notes/d.txt")
    make(tmp_path, ".gristmillignore", text="# large\n*.csv\n!keep.csv\n/raw/\nnotes/**\n")
    assert paths(tmp_path) == ["a.R", "keep.csv", "sub/c.R"]


def test_named_files_are_all_that_goes_in_with_what_the_server_reads(tmp_path: Path) -> None:
    make(tmp_path, "a.R", "b.R", "data/c.csv", "data/.d", ".Rprofile")
    make(tmp_path, "gristmill.toml", text='files = ["a.R", "data", ".Rprofile"]')
    assert paths(tmp_path) == [".Rprofile", "a.R", "data/c.csv", "gristmill.toml"]


def test_a_named_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    make(tmp_path, "gristmill.toml", text='files = ["bos_rf.rds"]')
    with pytest.raises(BadFolder, match=r"`files` names bos_rf\.rds"):
        found(tmp_path)


def test_a_link_inside_the_folder_is_what_it_leads_to(tmp_path: Path) -> None:
    make(tmp_path, "models/1.rds", text="forest")
    (tmp_path / "model.rds").symlink_to("models/1.rds")
    entry = next(each for each in found(tmp_path) if each.path == "model.rds")
    assert (entry.size, entry.source.name) == (6, "1.rds")


@pytest.mark.parametrize("target", ["/etc/hostname", "../outside.txt", "sub/../../outside.txt"])
def test_a_link_that_leaves_the_folder_is_refused(tmp_path: Path, target: str) -> None:
    make(tmp_path, "outside.txt", "in/a.R", "in/sub/b.R")
    (tmp_path / "in" / "link").symlink_to(target)
    with pytest.raises(BadFolder, match="link is a link that leaves the folder"):
        found(tmp_path / "in")


def test_a_folder_that_is_a_link_cannot_be_named_into_the_image(tmp_path: Path) -> None:
    make(tmp_path, "outside/secret.txt", "in/a.R")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "outside")
    make(tmp_path, "in/gristmill.toml", text='files = ["a.R", "link/secret.txt"]')
    with pytest.raises(BadFolder, match="leaves the folder"):
        found(tmp_path / "in")


@pytest.mark.parametrize("target", ["nowhere", "self"])
def test_a_link_to_nothing_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "self").symlink_to(target)
    with pytest.raises(BadFolder, match="self cannot be read"):
        found(tmp_path)


def test_a_link_to_a_folder_and_a_pipe_are_no_files(tmp_path: Path) -> None:
    make(tmp_path, "data/a.csv")
    (tmp_path / "link").symlink_to("data")
    with pytest.raises(BadFolder, match="link is a link to a folder"):
        found(tmp_path)
    (tmp_path / "link").unlink()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadFolder, match="pipe is not a regular file"):
        found(tmp_path)


@pytest.mark.parametrize("name", ["a\nb.R", "a\x1b[31m.R", "a\u202egnp.R", os.fsdecode(b"a\xff.R")])
def test_a_name_that_would_fool_a_reader_is_refused(tmp_path: Path, name: str) -> None:
    make(tmp_path, name)
    with pytest.raises(BadFolder, match="rename it"):
        found(tmp_path)


@pytest.mark.parametrize("name", ["Ähre.R", "数据.csv", "with blank.R", "-dash.R", "x" * 250])
def test_other_names_are_fine(tmp_path: Path, name: str) -> None:
    make(tmp_path, name)
    assert paths(tmp_path) == [name]


@pytest.mark.parametrize(
    "name",
    ["server.pem", "tls.key", "id_rsa", "conf/id_ed25519", "prod.env", "kubeconfig", "ID_RSA", "a.P12"],
)
def test_what_looks_like_a_secret_is_refused_until_it_is_named(tmp_path: Path, name: str) -> None:
    make(tmp_path, name, "a.R")
    with pytest.raises(SecretInFolder, match=f"{name} looks like a secret"):
        found(tmp_path)
    make(tmp_path, "gristmill.toml", text=f'files = ["a.R", "{name}"]')
    assert name in paths(tmp_path)


def test_a_folder_that_is_named_does_not_name_the_key_in_it(tmp_path: Path) -> None:
    make(tmp_path, "conf/server.key")
    make(tmp_path, "gristmill.toml", text='files = ["conf"]')
    with pytest.raises(SecretInFolder):
        found(tmp_path)


def test_a_key_is_known_by_what_is_in_it_and_by_where_a_link_leads(tmp_path: Path) -> None:
    make(tmp_path, "notes.txt", text=f"my key:\n{PEM}")
    with pytest.raises(SecretInFolder, match="private key"):
        found(tmp_path)
    (tmp_path / "notes.txt").unlink()
    make(tmp_path, ".env")
    (tmp_path / "settings").symlink_to(".env")
    with pytest.raises(SecretInFolder, match="settings"):
        found(tmp_path)


def test_public_keys_and_examples_are_no_secrets(tmp_path: Path) -> None:
    make(tmp_path, "id_rsa.pub", "example.env", "monkey.R")
    assert len(paths(tmp_path)) == 3


def test_no_more_files_than_a_model_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gristmill.deploy.context._MOST_FILES", 3)
    make(tmp_path, *"abcd")
    with pytest.raises(BadFolder, match=r"more than 3 files.*\.gristmillignore"):
        found(tmp_path)


def test_what_is_laid_out_depends_on_contents_alone(tmp_path: Path) -> None:
    for name, mode in (("one", 0o600), ("two", 0o666)):
        make(tmp_path / name, "a.R", "sub/run.py")
        (tmp_path / name / "a.R").chmod(mode)
        (tmp_path / name / "sub" / "run.py").chmod(mode | 0o100)
        os.utime(tmp_path / name / "a.R", (1, mode))
        lay_out(found(tmp_path / name), tmp_path / f"out-{name}", 315532800)

    def seen(folder: Path) -> list[tuple[str, int, float, bytes]]:
        return [
            (
                str(path.relative_to(folder)),
                path.stat().st_mode,
                path.stat().st_mtime,
                path.read_bytes() if path.is_file() else b"",
            )
            for path in sorted([folder, *folder.rglob("*")])
        ]

    assert seen(tmp_path / "out-one") == seen(tmp_path / "out-two")
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "out-one").rglob("*")}
    assert modes == {"a.R": 0o644, "sub": 0o755, "run.py": 0o755}


def test_a_file_that_becomes_a_link_while_it_is_copied_is_not_followed(tmp_path: Path) -> None:
    make(tmp_path, "in/a.R")
    files = found(tmp_path / "in")
    (tmp_path / "in" / "a.R").unlink()
    (tmp_path / "in" / "a.R").symlink_to("/etc/hostname")
    with pytest.raises(OSError, match="Too many levels"):
        lay_out(files, tmp_path / "out", 0)


def test_source_date_epoch_is_the_time_of_files() -> None:
    assert epoch({"SOURCE_DATE_EPOCH": "1700000000"}) == 1700000000
    assert epoch({}) == 315532800
    with pytest.raises(BadFolder, match="seconds since 1970"):
        epoch({"SOURCE_DATE_EPOCH": "-1; id"})
