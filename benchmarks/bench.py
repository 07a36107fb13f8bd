"""All of ``make bench``: throughput, inference and growth, as one table.

    python benchmarks/bench.py [--table-only] [--data-dir DIR]

Runs the three scripts one after the other and writes ``bench.json`` and ``bench.md`` to
``benchmarks/results``. ``--table-only`` makes these of the figures that are there.
"""

import datetime
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness import markdown, options, save

from kerascw.runs.environment import commit, processor
from kerascw.training.devices import cores

SCRIPTS = ("throughput", "inference", "growth")


def table(found: dict[str, Any]) -> str:
    """Lay out all figures as Markdown."""
    throughput, inference, growth = (found[script] for script in SCRIPTS)
    sweep = growth["sweep"]
    many, single = (
        [seconds["median"] for seconds in inference[what].values()] for what in ("many", "single")
    )
    contenders = next(iter(throughput["architectures"].values()))["rates"]
    trained = markdown(
        ("training, images/s", "batch", *contenders, "to Keras", "to PyTorch", "of GEMM peak"),
        [
            (
                name,
                one["batch_size"],
                *(
                    f"{rate['median']:,.0f} ({rate['low']:,.0f} to {rate['high']:,.0f})"
                    for rate in one["rates"].values()
                ),
                f"{one['to_keras']:.2f}",
                f"{one['to_pytorch']:.2f}",
                f"{one['share_of_peak']:.0%}",
            )
            for name, one in throughput["architectures"].items()
        ],
    )
    inferred = markdown(
        ("inference, LeNet v4", "kerascw, exported", "Keras", "PyTorch"),
        [
            ("10,000 images, images/s", *(f"{1 / seconds:,.0f}" for seconds in many)),
            ("single images, ms", *(f"{seconds * 1e3:.2f}" for seconds in single)),
        ],
    )
    by_size = markdown(
        ("images", "epoch, s", "loading", "shuffling", "evaluating a tenth", "memory, MB"),
        [
            (
                f"{int(count):,}",
                f"{one['train']:.2f}",
                *(
                    "" if one[work] is None else f"{one[work] / one['train']:.1%}"
                    for work in ("load", "shuffle", "evaluate")
                ),
                f"{one['megabytes']:,.0f}",
            )
            for count, one in growth["sizes"].items()
        ],
    )
    by_jobs = markdown(
        ("jobs", f"seconds for {growth['runs']} runs", "memory of all processes, MB"),
        [
            (jobs, f"{one['seconds']:.1f}", f"{one['megabytes']:,.0f}")
            for jobs, one in growth["jobs"].items()
        ],
    )
    return "\n".join(
        (
            f"{found['date']}, {found['processor']}, {found['cores']} cores, "
            f"commit {found['commit']}.\n",
            trained,
            f"Geometric mean to Keras: {throughput['to_keras']:.2f}.\n",
            inferred,
            f"{sweep['runs']} short runs, --jobs {sweep['jobs']}: {sweep['ratio']:.2f} of the rate "
            "of one long run.\n",
            by_size,
            by_jobs,
        )
    )


def main() -> None:
    """Run the scripts, and write the table."""
    parser = options(__doc__)
    parser.add_argument("--table-only", action="store_true")
    given = parser.parse_args()
    words = [
        "--results",
        given.results,
        *(["--data-dir", given.data_dir] if given.data_dir else []),
    ]
    for name in () if given.table_only else SCRIPTS:
        print(f"--- {name}", flush=True)
        subprocess.run([sys.executable, Path(__file__).with_name(f"{name}.py"), *words], check=True)
    found: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "cores": cores(),
        "commit": commit(),
    }
    for name in SCRIPTS:
        found[name] = json.loads((given.results / f"{name}.json").read_text())
    save(given.results, "bench", found)
    (given.results / "bench.md").write_text(table(found))
    print(table(found))


if __name__ == "__main__":
    main()
