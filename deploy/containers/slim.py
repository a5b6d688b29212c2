"""Take out of an environment what no server reads, and compile the rest: `slim.py FOLDER`.

Only what is certain: tests of packages and their data, headers and libraries to link against, type stubs. Sources
stay, for tracebacks and `inspect`. Byte code is of the unchecked kind: it holds whatever times the files get when
an image is packed and unpacked, and a start compares nothing.
"""

import compileall
import py_compile
import shutil
import sys
from pathlib import Path

#: Folders below a package that hold its tests.
TESTS = {
    "numpy": ("tests",),
    "onnx": ("test",),
    "pandas": ("tests",),
    "pyarrow": ("tests",),
    "scipy": ("tests",),
    "skl2onnx": ("tests",),
    "sklearn": ("tests",),
    "sqlalchemy": ("testing",),
}
USELESS = ("*.a", "*.pyi", "*.pxd", "*.pyx", "*.pxi", "*.h", "*.hpp", "*.c", "*.cpp", "*.proto")


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def _slim(site: Path) -> None:
    for package, names in TESTS.items():
        for name in names:
            for folder in [*(site / package).rglob(name)]:
                if folder.is_dir():
                    shutil.rmtree(folder)
    for pattern in USELESS:
        for path in [*site.rglob(pattern)]:
            path.unlink()


def main(folder: Path) -> None:
    """Slim and compile the environment in `folder`."""
    (site,) = folder.glob("lib/python3*/site-packages")
    before = _size(site)
    _slim(site)
    print(f"{folder}: {before / 1e6:.1f} MB, without the useless {_size(site) / 1e6:.1f} MB")
    compileall.compile_dir(
        site, quiet=2, workers=0, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )


main(Path(sys.argv[1]))
