"""The tests of `tests/clients` that need two servers: matrix-sdk on both sides."""

import os
import re
import shlex
import subprocess

from control import Control

# Those of the first group run at the same time, those of the second end servers under themselves.
GROUPS = [("interop::", ["--skip", "restarts::"]), ("interop::restarts::", ["--test-threads=1"])]
RESULT = re.compile(r"^test (interop::\S+) \.\.\. (ok|FAILED)$", re.MULTILINE)
# Seconds for one group.
GROUP_TIME = 600


def run_clients(home, away, only):
    """How many tests passed, and which did not."""
    program = shlex.split(os.environ.get("CLIENTS_TEST", ""))
    if not program:
        return 0, []
    control = Control(home, away)
    environment = {
        **os.environ,
        "INTEROP_HOME": f"{home.name} {home.client_url}",
        "INTEROP_AWAY": f"{away.name} {away.client_url}",
        "INTEROP_CONTROL": control.address,
    }
    passed, failed = 0, []
    try:
        for prefix, options in GROUPS:
            # A filter of libtest is a part of the name; two of them would mean either.
            tests = [name for name in names(program, prefix, options) if only in name]
            if not tests:
                continue
            command = [*program, "--ignored", "--exact", *tests]
            command += [option for option in options if option.startswith("--test-threads")]
            ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True,
                                 stderr=subprocess.STDOUT, timeout=GROUP_TIME, check=False)
            print(ran.stdout, flush=True)
            results = dict(RESULT.findall(ran.stdout))
            passed += sum(result == "ok" for result in results.values())
            failed += [name for name in tests if results.get(name) != "ok"]
    finally:
        control.close()
    return passed, failed


def names(program, prefix, options):
    command = [*program, "--ignored", "--list", "--format=terse", prefix]
    command += [option for option in options if not option.startswith("--test-threads")]
    listed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [line.removesuffix(": test") for line in listed.splitlines() if line.endswith(": test")]
