"""All of ``make bench``: throughput, many runs, inference and growth, as a table and a picture.

    python benchmarks/bench.py [--table-only] [--data-dir DIR]

Runs the four scripts one after the other and writes ``benchmarks/results/bench.json``, ``bench.md``
and ``bench.png``. ``--table-only`` makes these of the figures that are there.
"""

import argparse
import datetime
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness import RESULTS
from matplotlib.figure import Figure

from kerascw.runs.environment import commit, processor
from kerascw.runs.store import write_json
from kerascw.training.devices import cores

SCRIPTS = ("throughput", "sweep", "inference", "growth")
COLOURS = {
    "kerascw": "#1b6ca8",
    "Keras": "#c4572e",
    "PyTorch": "#8a8a8a",
    "PyTorch, channels last": "#bdbdbd",
}


def run(data_dir: str | None) -> None:
    """Run the scripts; each writes its own figures."""
    for name in SCRIPTS:
        words = ["--data-dir", data_dir] if data_dir and name in ("sweep", "growth") else []
        print(f"--- {name}", flush=True)
        subprocess.run([sys.executable, Path(__file__).with_name(f"{name}.py"), *words], check=True)


def table(found: dict[str, Any]) -> str:
    """Return all figures as Markdown."""
    lines = [
        f"{found['date']}, {found['processor']}, {found['cores']} cores, commit {found['commit']}.",
        "",
        "| training, images/s | batch | kerascw | Keras | PyTorch | PyTorch, channels last | "
        "to Keras | to PyTorch | of GEMM peak |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, one in found["throughput"]["architectures"].items():
        rates = " | ".join(
            f"{rate['median']:,.0f} ({rate['low']:,.0f} to {rate['high']:,.0f})"
            for rate in one["rates"].values()
        )
        lines.append(
            f"| {name} | {one['batch_size']} | {rates} | {one['to_keras']:.2f} | "
            f"{one['to_pytorch']:.2f} | {one['share_of_peak']:.0%} |"
        )
    many, single = found["inference"]["many"], found["inference"]["single"]
    lines += [
        "",
        f"Geometric mean to Keras: {found['throughput']['to_keras']:.2f}.",
        "",
        "| inference, LeNet v4 | kerascw, exported | Keras | PyTorch |",
        "| --- | --- | --- | --- |",
        "| 10,000 pictures, images/s | "
        + " | ".join(f"{1 / seconds['median']:,.0f}" for seconds in many.values())
        + " |",
        "| single pictures, ms | "
        + " | ".join(f"{seconds['median'] * 1e3:.2f}" for seconds in single.values())
        + " |",
        "",
        f"{found['sweep']['runs']} short runs, --jobs {found['sweep']['jobs']}: "
        f"{found['sweep']['ratio']:.2f} of the rate of one long run.",
        "",
        "| pictures | epoch, s | loading | shuffling | evaluating a tenth | memory, MB |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for count, one in found["growth"]["sizes"].items():
        shares = " | ".join(
            "" if one[part] is None else f"{one[part] / one['train']:.1%}"
            for part in ("load", "shuffle", "evaluate")
        )
        lines.append(
            f"| {int(count):,} | {one['train']:.2f} | {shares} | {one['megabytes']:,.0f} |"
        )
    lines += [
        "",
        f"| jobs | seconds for {found['growth']['runs']} runs | memory of all processes, MB |",
        "| --- | --- | --- |",
    ]
    lines += [
        f"| {jobs} | {one['seconds']:.1f} | {one['megabytes']:,.0f} |"
        for jobs, one in found["growth"]["jobs"].items()
    ]
    return "\n".join(lines) + "\n"


def draw(found: dict[str, Any], path: Path) -> None:
    """Draw the training rates beside kerascw's, with the extremes of the rounds."""
    architectures = found["throughput"]["architectures"]
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    for at, (who, colour) in enumerate(COLOURS.items()):
        places = [number + (at - 1.5) * 0.2 for number in range(len(architectures))]
        rates = [one["rates"][who] for one in architectures.values()]
        keras = [one["rates"]["Keras"]["median"] for one in architectures.values()]
        middle = [rate["median"] / k for rate, k in zip(rates, keras, strict=True)]
        below = [(rate["median"] - rate["low"]) / k for rate, k in zip(rates, keras, strict=True)]
        above = [(rate["high"] - rate["median"]) / k for rate, k in zip(rates, keras, strict=True)]
        axes.bar(places, middle, 0.19, label=who, color=colour)
        axes.errorbar(places, middle, (below, above), fmt="none", ecolor="#1b1b1b", elinewidth=0.8)
    axes.set_xticks(
        range(len(architectures)),
        [f"{name}\nbatch {one['batch_size']}" for name, one in architectures.items()],
    )
    axes.set(ylabel="training images/s, Keras = 1")
    axes.set_title(
        f"{found['date']}, {found['processor']}, {found['cores']} cores; bars: medians, "
        "lines: lowest and highest round",
        fontsize=9,
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.15))
    figure.savefig(path, dpi=130)


def main() -> None:
    """Run, and write table and picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--table-only", action="store_true")
    parser.add_argument("--data-dir")
    options = parser.parse_args()
    if not options.table_only:
        run(options.data_dir)
    found: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "cores": cores(),
        "commit": commit(),
    }
    for name in SCRIPTS:
        found[name] = json.loads((RESULTS / f"{name}.json").read_text())
    write_json(RESULTS / "bench.json", found)
    (RESULTS / "bench.md").write_text(table(found))
    draw(found, RESULTS / "bench.png")
    print(table(found))


if __name__ == "__main__":
    main()
