"""All of ``make bench``: throughput, inference and growth, as one table.

    python benchmarks/bench.py [--table-only] [--data-dir DIR]

Runs the three scripts one after the other and writes ``bench.md`` to ``benchmarks/results``.
``--table-only`` makes it of the figures that are there.
"""

import json
import subprocess
import sys

import growth
import inference
import throughput
from harness import options

SCRIPTS = {"throughput": throughput, "inference": inference, "growth": growth}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--table-only", action="store_true")
    given = parser.parse_args()
    words = ["--results", given.results]
    words += ["--data-dir", given.data_dir] if given.data_dir else []
    for script in () if given.table_only else SCRIPTS.values():
        print(f"--- {script.__name__}", flush=True)
        subprocess.run([sys.executable, str(script.__file__), *words], check=True)
    tables = []
    for name, script in SCRIPTS.items():
        found = json.loads((given.results / f"{name}.json").read_text())
        tables.append(f"{script.table(found)}\n{found['measured']}.\n")
    (given.results / "bench.md").write_text("\n".join(tables))
    print("\n".join(tables))


if __name__ == "__main__":
    main()
