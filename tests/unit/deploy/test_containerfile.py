from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gristmill.deploy.containerfile import containerfile
from gristmill.deploy.errors import BadImageName, BadProject
from gristmill.deploy.project import Options, read_project


def made(folder: Path, **options: object) -> list[str]:
    project = read_project(folder, Options(name="boston", **options))  # type: ignore[arg-type]
    base = project.base_of("r")
    return containerfile(project, base, requirements=bool(options.get("requirements"))).splitlines()


def test_packages_come_first_and_the_user_without_rights_last(tmp_path: Path) -> None:
    lines = made(
        tmp_path, base="base:1", r_packages=["MASS"], requirements="r.txt", labels={"team": "models, Köln"}
    )
    run = '["env", "HOME=/root"'
    pip = '"/opt/gristmill/bin/python", "-m", "pip", "--no-cache-dir", '
    pip += '"--disable-pip-version-check", "--no-input"'
    place = "/usr/local/lib/gristmill"
    sbom = "/usr/share/doc/gristmill/sbom.cdx.json"
    requirements = f"{place}/boston-requirements.txt"
    assert lines == [
        "FROM base:1",
        "USER 0:0",
        f'COPY ["install_packages.R", "{place}/install_packages.R"]',
        "ARG R_REPOS",
        f'RUN {run}, "Rscript", "{place}/install_packages.R", "MASS"]',
        f'COPY ["requirements.txt", "{requirements}"]',
        f'RUN {run}, {pip}, "install", "--root-user-action=ignore", "--requirement", "{requirements}"]',
        f'RUN {run}, {pip}, "check"]',
        f'RUN {run}, "/opt/gristmill/bin/python", "-m", "gristmill.deploy.sbom", "--output", "{sbom}"]',
        'COPY ["bundle/", "/gristmill/publish/boston/"]',
        'LABEL "team"="models, Köln"',
        "USER 10001:10001",
    ]


def test_a_folder_without_packages_is_a_copy_and_nothing_more(tmp_path: Path) -> None:
    assert [line.split()[0] for line in made(tmp_path)] == ["FROM", "USER", "COPY", "USER"]


WORDS = st.text(max_size=20) | st.sampled_from(
    ["a\nRUN id", '"]\nRUN ["id', "x $(id)", "--mount=type=bind", "a\\"]
)


@given(WORDS, WORDS, WORDS, WORDS)
def test_no_name_becomes_an_instruction(package: str, base: str, key: str, value: str) -> None:
    folder = Path(__file__).parent
    try:
        project = read_project(
            folder, Options(name="x", base=f"b{base}", r_packages=[f"p{package}"], labels={f"k{key}": value})
        )
    except (BadProject, BadImageName):
        return
    lines = containerfile(project, project.base_of("r"), requirements=False).splitlines()
    assert [line.split()[0] for line in lines] == [
        *("FROM", "USER", "COPY", "ARG", "RUN", "RUN", "COPY", "LABEL", "USER"),
    ]
    assert json.loads(lines[4].removeprefix("RUN "))[-1] == f"p{package}"
