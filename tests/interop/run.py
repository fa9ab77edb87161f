"""Run the scenarios between pairs of servers.

    BLAUPAUSE_BIN=… [SYNAPSE_VENV=…] [CLIENTS_TEST=…] python3 run.py PAIR… [--only WORD]

PAIR is `blaupause-blaupause`, `blaupause-synapse`, `synapse-blaupause` or `synapse-synapse`: where
rooms are made, and where people come from. `synapse-synapse` shows that the scenarios are right.
`CLIENTS_TEST` is the command that runs the test of `tests/clients`: its tests of module `interop`, with matrix-sdk
on both sides, run between the same servers. `cargo xtask test interop` sets the variables and runs
all that matter.
"""

import argparse
import pathlib
import sys
import tempfile
import time
import traceback

import restarts  # noqa: F401 (adds its scenarios)
from clients import run_clients
from scenarios import SCENARIOS, Pair
from servers import Authority, Blaupause, Synapse, free_ports

KINDS = {"blaupause": Blaupause, "synapse": Synapse}


def words(run):
    return run.__name__.replace("_", " ")


def run_pair(pair, folder, authority, only):
    """How many scenarios passed, and which did not."""
    ports = free_ports(4)
    kinds = [KINDS[kind] for kind in pair.split("-")]
    servers = []
    passed, failed = 0, []
    try:
        for at, kind in enumerate(kinds):
            place = folder / pair / str(at)
            servers.append(kind(place, authority, ports[2 * at:2 * at + 2]).start())
        for number, scenario in enumerate(SCENARIOS):
            if only not in scenario.__name__:
                continue
            start = time.monotonic()
            try:
                scenario(Pair(*servers, number))
            except Exception:
                failed.append(f"{pair}: {words(scenario)}")
                print(f"FAILED  {failed[-1]}\n{traceback.format_exc()}", flush=True)
            else:
                passed += 1
                took = time.monotonic() - start
                print(f"ok      {pair}: {words(scenario)} ({took:.1f} s)", flush=True)
        more, bad = run_clients(*servers, only)
        passed += more
        failed += [f"{pair}: {name}" for name in bad]
    finally:
        for server in servers:
            server.stop()
    return passed, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairs", nargs="+", metavar="PAIR")
    parser.add_argument("--only", default="", help="scenarios with this word in their name")
    parser.add_argument("--keep", type=pathlib.Path, help="a folder for configurations and logs")
    arguments = parser.parse_args()
    passed, failed = 0, []
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        authority = Authority(folder)
        for pair in arguments.pairs:
            more, bad = run_pair(pair, folder, authority, arguments.only)
            passed += more
            failed += bad
    for name in failed:
        print(f"failed: {name}")
    print(f"interop: {passed} passed, {len(failed)} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
