"""Muon: momentum whose update of each convolution kernel is made orthogonal.

After Keller Jordan and others, "Muon: an optimizer for hidden layers in neural networks" (2024,
kellerjordan.github.io/posts/muon). ``keras.optimizers.Muon`` leaves convolutions to AdamW.
"""

from typing import Any

import keras

STEPS, A, B, C = 5, 3.4445, -4.7750, 2.0315
"""Jordan's: after so many steps all singular values lie between 0.7 and 1.2."""

SIZE = 0.2
"""The root mean square of an update, as a share of the learning rate: AdamW's, by Liu et al. (2025,
arXiv 2502.16982). Like the numbers above, another value needs a new ``recipe_version``."""


def orthogonal(matrix: Any) -> Any:
    """Return nearly ``U V'`` of a matrix ``U S V'``, by Newton-Schulz iteration, in its dtype."""
    ops = keras.ops
    tall = matrix.shape[0] > matrix.shape[1]
    x = ops.transpose(matrix) if tall else matrix  # the products are then the smaller ones
    x = x / (ops.norm(x) + 1e-7)
    for _ in range(STEPS):
        square = ops.matmul(x, ops.transpose(x))
        x = A * x + ops.matmul(B * square + C * ops.matmul(square, square), x)
    return ops.transpose(x) if tall else x


def muon(adamw: type[keras.optimizers.AdamW]) -> type[keras.optimizers.AdamW]:
    """Make of AdamW, Keras' or the fused one, an optimiser that uses Muon for convolution kernels.

    A kernel ``[height, width, in, out]`` counts as a matrix ``[height * width * in, out]``. Its
    update is scaled to the size that AdamW's has, so that AdamW's learning rates and weight decays
    go on being good ones.
    """

    class Muon(adamw):
        def __init__(self, rate: Any, *, momentum: float, dtype: str, **arguments: Any) -> None:
            super().__init__(rate, **arguments)
            self._momentum, self._dtype_of_products = momentum, dtype

        def build(self, variables: list[keras.Variable]) -> None:
            super().build(variables)
            self._momenta = [
                self.add_variable_from_reference(variable, "muon") if _is_conv(variable) else None
                for variable in variables
            ]

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            if not _is_conv(variable):
                super().update_step(gradient, variable, learning_rate)
                return
            ops, momentum = keras.ops, self._momenta[self._get_variable_index(variable)]
            self.assign(momentum, self._momentum * momentum + gradient)
            ahead = gradient + self._momentum * momentum  # as Nesterov's
            matrix = ops.reshape(ahead, [-1, variable.shape[-1]])
            # the iteration needs no more than bfloat16's digits, but numbers of a common size
            matrix = ops.cast(matrix / (ops.norm(matrix) + 1e-20), self._dtype_of_products)
            update = ops.cast(orthogonal(matrix), variable.dtype)
            size = ops.cast(learning_rate, variable.dtype) * SIZE * max(matrix.shape) ** 0.5
            self.assign_sub(variable, size * ops.reshape(update, variable.shape))

    return Muon


def _is_conv(variable: Any) -> bool:
    return len(variable.shape) == 4
