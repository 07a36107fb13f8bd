"""All of ``make bench``: throughput, inference and growth, as one table.

    python benchmarks/bench.py [--table-only] [--data-dir DIR]

Runs the three scripts one after the other and writes ``bench.json`` and ``bench.md`` to
``benchmarks/results``. ``--table-only`` makes these of the figures that are there.
"""

import datetime
import json
import subprocess
import sys
from typing import Any

import growth
import inference
import throughput
from harness import options, save

from kerascw.runs.environment import commit, processor
from kerascw.training.devices import cores

SCRIPTS = {"throughput": throughput, "inference": inference, "growth": growth}


def main() -> None:
    """Run the scripts, and write the table."""
    parser = options(__doc__)
    parser.add_argument("--table-only", action="store_true")
    given = parser.parse_args()
    words = ["--results", given.results]
    words += ["--data-dir", given.data_dir] if given.data_dir else []
    for script in () if given.table_only else SCRIPTS.values():
        print(f"--- {script.__name__}", flush=True)
        subprocess.run([sys.executable, str(script.__file__), *words], check=True)
    found: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "cores": cores(),
        "commit": commit(),
    }
    head = "{date}, {processor}, {cores} cores, commit {commit}.\n".format(**found)
    tables = [head]
    for name, script in SCRIPTS.items():
        found[name] = json.loads((given.results / f"{name}.json").read_text())
        tables.append(script.table(found[name]))
    save(given.results, "bench", found)
    (given.results / "bench.md").write_text("\n".join(tables))
    print("\n".join(tables))


if __name__ == "__main__":
    main()
