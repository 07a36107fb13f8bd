"""The order in which a search's oracle learnt of its trials, kept so that no kill loses it."""

import json
import os
from pathlib import Path
from typing import Any


class Journal:
    """A file to which events are added, a line of JSON each; an event is there whole or not."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> list[dict[str, Any]]:
        """Return all events; of a line that was being written at a kill, nothing is left."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return []
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(self._path, whole)
        return [json.loads(line) for line in content[:whole].splitlines()]

    def append(self, event: dict[str, Any]) -> None:
        """Add an event; it is on disk when this returns."""
        with self._path.open("a") as file:
            file.write(json.dumps(event) + "\n")
            file.flush()
            os.fsync(file.fileno())
