"""Print what the extras named on the command line ask for, line by line: `requirements.py server shell`.

So the layer of dependencies is made, and kept, without a look at the package's own code.
"""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(__file__).with_name("pyproject.toml").read_text("utf-8"))["project"]
extras = project["optional-dependencies"]
if unknown := set(sys.argv[1:]) - set(extras):
    sys.exit(f"pyproject.toml has no extra {', '.join(sorted(unknown))}; it has {', '.join(sorted(extras))}")
for requirement in sorted(
    {*project["dependencies"], *(line for name in sys.argv[1:] for line in extras[name])}
):
    print(requirement)
