"""Runs stories under Python 3.7: their names come in line by line, and an outcome goes out for each.

Usage: runner.py URL USERNAME PASSWORD. A name is `module.function`; an outcome is a line of JSON with
`outcome` (passed, skipped or failed) and `text`. All else that is printed goes to standard error. A story
that hangs ends the process, which says where it hung.
"""

import faulthandler
import functools
import json
import logging
import os
import sys
import traceback
import unittest
import warnings

LONGEST = 50  # seconds; pytest gives up soon after


@functools.lru_cache(maxsize=None)
def namespace(module):
    """A module of stories, run as the script that a user starts: the client's pickles depend on that."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), module + ".py")
    names = {"__name__": "__main__", "__file__": path}
    with open(path, encoding="utf-8") as file:
        exec(compile(file.read(), path, "exec"), names)
    return names


def outcome(name, client):
    module, function = name.split(".")
    try:
        namespace(module)[function](client)
    except unittest.SkipTest as reason:
        return {"outcome": "skipped", "text": str(reason)}
    except Exception:
        return {"outcome": "failed", "text": traceback.format_exc()}
    return {"outcome": "passed", "text": ""}


def main(url, username, password):
    from azureml.deploy import DeployClient
    from azureml.deploy.server import MLServer

    outcomes = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    client = DeployClient(url, use=MLServer, auth=(username, password))
    for line in sys.stdin:
        faulthandler.dump_traceback_later(LONGEST, exit=True)
        result = outcome(line.strip(), client)
        faulthandler.cancel_dump_traceback_later()
        outcomes.write(json.dumps(result) + "\n")
        outcomes.flush()


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # old packages on an old Python
    logging.disable(logging.CRITICAL)  # the client logs each refusal, and the stories provoke many
    main(*sys.argv[1:])
