"""Print the coverage of each room's branches, lowest last, from what ``pytest --cov`` left.

Counted is what runs in the tests' own processes: not the commands that a test starts as a user
does, nor the workers that train side by side.
"""

import json
import tempfile
from collections import Counter
from pathlib import Path

import coverage


def main() -> None:
    """Print a line a room, and which three are the lowest."""
    kept = coverage.Coverage()
    kept.load()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "coverage.json")
        kept.json_report(outfile=str(report))
        files = json.loads(report.read_text())["files"]
    rooms: dict[str, Counter[str]] = {}
    for name, file in files.items():
        package, *folders, _ = Path(name).parts
        room = "/".join([package, *folders[:1]]) if package == "kerascw" else package
        rooms.setdefault(room, Counter()).update(
            {key: value for key, value in file["summary"].items() if isinstance(value, int)}
        )
    shares = {
        room: counts["covered_branches"] / max(1, counts["num_branches"])
        for room, counts in rooms.items()
    }
    ordered = sorted(rooms, key=lambda room: -shares[room])
    print(f"{'room':24}{'lines':>8}{'covered':>9}{'branches':>10}{'covered':>9}")
    for room in ordered:
        counts = rooms[room]
        lines = counts["covered_lines"] / max(1, counts["num_statements"])
        print(f"{room:24}{counts['num_statements']:>8}{lines:>9.1%}"
              f"{counts['num_branches']:>10}{shares[room]:>9.1%}")  # fmt: skip
    print(f"lowest branch coverage: {', '.join(ordered[:-4:-1])}")


if __name__ == "__main__":
    main()
