"""runc for a root that may not raise limits: without rlimits, and never with less than its own OOM score.

Runs by itself, as dockerd's runtime. Where root has no CAP_SYS_RESOURCE, the kernel refuses both.
"""

import json
import os
import sys


def loosen(bundle: str) -> None:
    """Take out of the container's configuration what needs CAP_SYS_RESOURCE."""
    path = os.path.join(bundle, "config.json")
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    process = config.get("process", {})
    process.pop("rlimits", None)
    with open("/proc/self/oom_score_adj", encoding="ascii") as file:
        own = int(file.read())
    if "oomScoreAdj" in process:
        process["oomScoreAdj"] = max(process["oomScoreAdj"], own)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file)


if __name__ == "__main__":
    if "create" in sys.argv:
        loosen(sys.argv[sys.argv.index("--bundle") + 1])
    os.execvp("runc", ["runc", *sys.argv[1:]])
