"""All of ``make bench``: throughput, many runs, inference and growth, as one table.

    python benchmarks/bench.py [--table-only] [--data-dir DIR]

Runs the four scripts one after the other and writes ``bench.json`` and ``bench.md`` to
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

SCRIPTS = ("throughput", "sweep", "inference", "growth")


def run(data_dir: Path | None) -> None:
    """Run the scripts; each writes its own figures."""
    for name in SCRIPTS:
        words = ["--data-dir", data_dir] if data_dir and name in ("sweep", "growth") else []
        print(f"--- {name}", flush=True)
        subprocess.run([sys.executable, Path(__file__).with_name(f"{name}.py"), *words], check=True)


def table(found: dict[str, Any]) -> str:
    """Lay out all figures as Markdown."""
    throughput, sweep, growth = found["throughput"], found["sweep"], found["growth"]
    inference = {
        what: [seconds["median"] for seconds in found["inference"][what].values()]
        for what in ("many", "single")
    }
    return "\n".join(
        (
            f"{found['date']}, {found['processor']}, {found['cores']} cores, "
            f"commit {found['commit']}.\n",
            markdown(
                (
                    "training, images/s",
                    "batch",
                    *next(iter(throughput["architectures"].values()))["rates"],
                    "to Keras",
                    "to PyTorch",
                    "of GEMM peak",
                ),
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
            ),
            f"Geometric mean to Keras: {throughput['to_keras']:.2f}.\n",
            markdown(
                ("inference, LeNet v4", "kerascw, exported", "Keras", "PyTorch"),
                [
                    ("10,000 images, images/s", *(f"{1 / s:,.0f}" for s in inference["many"])),
                    ("single images, ms", *(f"{s * 1e3:.2f}" for s in inference["single"])),
                ],
            ),
            f"{sweep['runs']} short runs, --jobs {sweep['jobs']}: {sweep['ratio']:.2f} of the rate "
            "of one long run.\n",
            markdown(
                ("images", "epoch, s", "loading", "shuffling", "evaluating a tenth", "memory, MB"),
                [
                    (
                        f"{int(count):,}",
                        f"{one['train']:.2f}",
                        *(
                            "" if one[part] is None else f"{one[part] / one['train']:.1%}"
                            for part in ("load", "shuffle", "evaluate")
                        ),
                        f"{one['megabytes']:,.0f}",
                    )
                    for count, one in growth["sizes"].items()
                ],
            ),
            markdown(
                ("jobs", f"seconds for {growth['runs']} runs", "memory of all processes, MB"),
                [
                    (jobs, f"{one['seconds']:.1f}", f"{one['megabytes']:,.0f}")
                    for jobs, one in growth["jobs"].items()
                ],
            ),
        )
    )


def main() -> None:
    """Run, and write the table."""
    parser = options(__doc__)
    parser.add_argument("--table-only", action="store_true")
    given = parser.parse_args()
    if not given.table_only:
        run(given.data_dir)
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
