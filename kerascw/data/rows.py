"""Some rows of a large array, in place of a copy of them."""

from typing import Any

import numpy as np


class Rows:
    """The rows of ``base`` at ``positions``, read when they are asked for.

    >>> rows = Rows(np.arange(10) ** 2, np.array([1, 3, 5]))
    >>> len(rows), rows[1], rows[1:]
    (3, np.int64(9), array([ 9, 25]))
    """

    def __init__(self, base: np.ndarray, positions: np.ndarray) -> None:
        self.base, self.positions = base, positions

    @classmethod
    def of(cls, images: "np.ndarray | Rows", chosen: np.ndarray) -> "Rows":
        """Return the rows at ``chosen``, positions or a mask, of an array or of other rows."""
        if isinstance(images, Rows):
            return cls(images.base, images.positions[chosen])
        return cls(images, np.arange(len(images))[chosen])

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, at: Any) -> np.ndarray:
        """Return rows by position, slice, mask or array of positions: a copy."""
        rows: np.ndarray = self.base[self.positions[at]]
        return rows

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.base.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        return self.base.dtype

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)
