"""Tables of a page: sorted there by a click, and written beside it in CSV and LaTeX.

In a template ``{{ sortable(table) }}`` shows one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kerascw.errors import printable
from kerascw.lab.sheet import sheet

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Cell:
    """The text to read, and the unrounded value to sort by and to write to the CSV file."""

    text: str
    value: float | int | None = None
    code: bool = False  # a name to be copied


@dataclass(frozen=True)
class Table:
    """A table with a name for its files; a cell that is only a word may be a string."""

    name: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str | Cell]]
    text: tuple[int, ...] = (0,)  # columns of words, set flush left
    caption: str = ""
    foot: Sequence[Sequence[str | Cell]] = ()  # rows that stay below, such as a mean

    @property
    def cells(self) -> list[list[Cell]]:
        return _cells(self.rows)

    @property
    def foot_cells(self) -> list[list[Cell]]:
        return _cells(self.foot)


def _cells(rows: Sequence[Sequence[str | Cell]]) -> list[list[Cell]]:
    return [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]


def number(value: float | None, form: str = ".4f") -> Cell:
    """Return a figure as a cell.

    >>> number(0.91237), number(None).text
    (Cell(text='0.9124', value=0.91237, code=False), '-')
    """
    return Cell("-") if value is None else Cell(format(value, form), value)


def count(value: int | None) -> Cell:
    """Return a whole number as a cell, its thousands apart."""
    return number(value, ",")


def percent(value: float | None) -> Cell:
    """Return a share as a cell.

    >>> percent(0.91237).text
    '91.24 %'
    """
    return Cell("-") if value is None else Cell(f"{100 * value:.2f} %", value)


def csv_of(table: Table) -> str:
    """Return the table as CSV: the values where there are any, else the texts."""
    rows = [*table.cells, *table.foot_cells]
    values = [[cell.text if cell.value is None else cell.value for cell in row] for row in rows]
    return sheet([table.columns, *values])


def print_table(table: Table, console: "Console", most: int | None = None) -> None:
    """Print the table, or its first rows, as a terminal shows it."""
    from rich.table import Table as Shown

    shown = Shown(box=None, pad_edge=False)
    for at, column in enumerate(table.columns):
        shown.add_column(
            column,
            justify="left" if at in table.text else "right",
            overflow="fold",  # rich would cut a path or a hash that does not fit
        )
    for row in [*table.cells[:most], *table.foot_cells]:
        shown.add_row(*(cell.text for cell in row))
    if table.caption:
        console.print(table.caption)
    console.print(shown)


_ESCAPES = str.maketrans({
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "<": r"\textless{}", ">": r"\textgreater{}", "[": "{[}", "*": "{*}",
})  # fmt: skip


def escaped(text: str) -> str:
    r"""Return the text as LaTeX has to read it; after a row's end it would read [ and * otherwise.

    >>> escaped("0.91 ± 0.01, 5 % of a_b")
    '0.91 $\\pm$ 0.01, 5 \\% of a\\_b'
    """
    return " ".join(printable(text).split()).translate(_ESCAPES)


def latex_of(table: Table) -> str:
    r"""Return a ``tabular`` with the rules of the package booktabs, to be read by ``\input``."""
    align = "".join("l" if at in table.text else "r" for at in range(len(table.columns)))
    lines = [
        "% needs \\usepackage{booktabs}",
        f"\\begin{{tabular}}{{{align}}}",
        "\\toprule",
        _latex_row(table.columns),
        "\\midrule",
        *(_latex_row([cell.text for cell in row]) for row in table.cells),
        *(["\\midrule"] if table.foot else []),
        *(_latex_row([cell.text for cell in row]) for row in table.foot_cells),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _latex_row(texts: Iterable[str]) -> str:
    return " & ".join(map(escaped, texts)) + r" \\"


def write_tables(tables: Iterable[Table], folder: Path) -> None:
    """Write ``NAME.csv`` and ``NAME.tex`` of every table; those of an earlier drawing go."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in (*folder.glob("*.csv"), *folder.glob("*.tex")):
        stale.unlink()
    for table in tables:
        (folder / f"{table.name}.csv").write_text(csv_of(table), encoding="utf-8")
        (folder / f"{table.name}.tex").write_text(latex_of(table), encoding="utf-8")
