"""Take out of an environment what no server reads, and compile the rest: `slim.py FOLDER`.

Only what is certain goes: tests of packages, headers and libraries to link against, type stubs, symbols
for debuggers, second copies of one library. Sources stay, for tracebacks and `inspect`. Byte code is of the
unchecked kind: it holds whatever times the files get when an image is packed and unpacked, and a start
compares nothing.
"""

import compileall
import hashlib
import os
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path

#: Folders of tests: below which package, of which name.
TESTS = {
    "numpy": "tests",
    "onnx": "test",
    "pandas": "tests",
    "pyarrow": "tests",
    "scipy": "tests",
    "skl2onnx": "tests",
    "sklearn": "tests",
}
USELESS = (
    *("*.a", "*.c", "*.cc", "*.cpp", "*.h", "*.hpp", "*.pxd", "*.pxi", "*.pyi", "*.pyx", "*.proto"),
    # The library for programs in C; Python's module has all of it in itself.
    "onnxruntime/capi/libonnxruntime.so.*",
    # Flight is a protocol of servers and clients of its own; importing it says that it is not there.
    *("pyarrow/_flight.*", "pyarrow/libarrow_flight.so*", "pyarrow/libarrow_python_flight.so*"),
    "pyarrow/_pyarrow_cpp_tests.*",
)


def main(folder: Path) -> None:
    """Slim and compile the environment in `folder`."""
    (site,) = folder.glob("lib/python3*/site-packages")
    before = _size(site)
    _remove(site)
    libraries = [path for path in site.rglob("*.so*") if path.is_file() and not path.is_symlink()]
    _link_copies(libraries)
    libraries = [path for path in libraries if not path.is_symlink()]
    # Libraries in folders like numpy.libs have been patched in a way that stripping would break.
    if unpatched := [path for path in libraries if not path.parent.name.endswith(".libs")]:
        subprocess.run(["strip", "--strip-unneeded", *unpatched], check=True)
        _load_all(folder, unpatched)
    print(f"{folder}: {before / 1e6:.0f} MB, slimmed {_size(site) / 1e6:.0f} MB")
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(site, quiet=2, workers=0, invalidation_mode=unchecked)


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def _remove(site: Path) -> None:
    for package, name in TESTS.items():
        for path in [*(site / package).rglob(name)]:
            if path.is_dir():
                shutil.rmtree(path)
    for pattern in USELESS:
        for path in [*site.rglob(pattern)]:
            path.unlink()


def _link_copies(libraries: list[Path]) -> None:
    """A wheel cannot hold a link: libarrow.so, libarrow.so.1 and libarrow.so.1.2 are three files there."""
    seen: dict[tuple[Path, str], Path] = {}
    for path in sorted(libraries, key=lambda path: len(path.name)):
        key = (path.parent, hashlib.sha256(path.read_bytes()).hexdigest())
        first = seen.setdefault(key, path)
        if first is not path:
            path.unlink()
            path.symlink_to(first.name)


def _load_all(folder: Path, libraries: list[Path]) -> None:
    """What was stripped must load, and find all its symbols: else the build fails here."""
    python = folder / "bin/python"
    program = "import ctypes, os, sys; ctypes.CDLL(sys.argv[1], mode=os.RTLD_NOW)"
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    for library in libraries:  # one process each: two extensions may carry the same names
        subprocess.run([python, "-c", program, library], check=True, env=environment)


main(Path(sys.argv[1]))
