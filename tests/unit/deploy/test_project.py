from __future__ import annotations

from pathlib import Path

import pytest

from gristmill import __version__
from gristmill.deploy.errors import BadProject
from gristmill.deploy.project import Options, Project, read_project


def project(folder: Path, text: str = "", **options: object) -> Project:
    if text:
        (folder / "gristmill.toml").write_text(text)
    return read_project(folder, Options(**options))  # type: ignore[arg-type]


def test_the_file_of_the_example_is_read(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "examples/boston-r/gristmill.toml").read_text()
    found = project(tmp_path, text)
    assert found.name == "bos-rf"
    assert found.publish == ("bos_rf_deploy.R",)
    assert found.files == ("bos_rf.rds", "bos_rf_deploy.R")
    assert found.r_packages == ("randomForest",)
    assert found.base_of("r") == f"gristmill:{__version__}-r"


def test_options_go_before_the_file_and_packages_add_up(tmp_path: Path) -> None:
    found = project(
        tmp_path,
        'language = "r"\nbase = "a:1"\npublish = ["a.R"]\nr-packages = ["MASS"]\n'
        'labels = {team = "ml", env = "a"}\n',
        base="b:2",
        publish=["b.py"],
        language="python",
        r_packages=["gbm"],
        labels={"env": "b"},
    )
    assert (found.base, found.publish, found.language) == ("b:2", ("b.py",), "python")
    assert found.r_packages == ("MASS", "gbm")
    assert found.labels == (("env", "b"), ("team", "ml"))
    assert found.publish_is_given
    assert found.toml() == 'publish = ["b.py"]\n'


@pytest.mark.parametrize(
    ("name", "becomes"), [("Boston R", "boston-r"), ("bos_rf", "bos-rf"), ("a.b", "a.b"), (" x ", "x")]
)
def test_without_a_name_it_has_the_folders_as_near_as_can_be(tmp_path: Path, name: str, becomes: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    assert project(folder).name == becomes


@pytest.mark.parametrize("name", ["ä", "a~b", "..x", "-"])
def test_a_folder_whose_name_cannot_be_one_says_where_to_choose_another(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    with pytest.raises(BadProject, match=r"choose another by `name` in gristmill\.toml"):
        project(folder)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('nmae = "a"', "there is no key nmae"),
        ("publish = []", "would serve nothing"),
        ("publish = 3", "publish has to be a list"),
        ('publish = "a.R"', "publish has to be a list"),
        ("name = 3", "name has to be a text"),
        ("labels = {a = 1}", "labels has to be a table of texts"),
        ("name = ", "gristmill.toml: "),
        ('language = "julia"', "neither python nor r"),
        ('base = "a b"', "image name 'a b' cannot be"),
        ('base = "a\\nRUN id"', "cannot be"),
        ('publish = ["/etc/a.R"]', "not the path of a file inside the folder"),
        ('publish = ["../a.R"]', "not the path of a file inside the folder"),
        ('publish = ["-e.R"]', "begins with a dash"),
        ('publish = ["--args/x.R"]', "begins with a dash"),
        ('publish = ["a.sh"]', "is no script"),
        ('publish = ["a\\n.R"]', "characters"),
        ("publish = ['a\".R']", "characters"),
        ('files = [""]', "not the path"),
        ('requirements = "../r.txt"', "not the path"),
        ('name = "a/b"', "cannot be a name"),
        ('name = "A"', "cannot be a name"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(BadProject if "image name" not in why and "RUN" not in text else Exception, match=why):
        project(tmp_path, text)


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "1a",
        "a.",
        "a_b",
        "a-b",
        "random forest",
        "a\nb",
        "a'b",
        "",
        "a" * 101,
        "ä1",
        "$(id)",
        "--no-save",
        "a;b",
    ],
)
def test_what_is_no_name_of_an_r_package_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadProject, match="cannot be the name of an R package"):
        project(tmp_path, r_packages=[name])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("a", 'x"\nRUN id'),
        ("a", "x\ny"),
        ("a", 'x"y'),
        ("a", "x\\"),
        ("a", "$HOME"),
        ("a", "x" * 5000),
        ("a b", "x"),
        ("-a", "x"),
        ('a"', "x"),
        ("A", "x"),
        ("", "x"),
        ("a\n", "x"),
    ],
)
def test_a_label_that_would_be_more_than_a_label_is_refused(tmp_path: Path, key: str, value: str) -> None:
    with pytest.raises(BadProject, match="label"):
        project(tmp_path, labels={key: value})


@pytest.mark.parametrize(
    ("publish", "packages", "language"),
    [(["a.py"], [], "python"), (["a.R"], [], "r"), (["a.py", "b.r"], [], "r"), (["a.gm"], ["gbm"], "r")],
)
def test_the_language_is_that_of_scripts_and_packages(
    tmp_path: Path, publish: list[str], packages: list[str], language: str
) -> None:
    assert project(tmp_path, publish=publish, r_packages=packages).language_of(()) == language
