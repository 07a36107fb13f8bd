import keras
import numpy as np
import pytest
import tensorflow as tf

from kerascw.experiment.spec import AdamW, Muon, OneCycle, TrainingSpec
from kerascw.training.muon import orthogonal
from kerascw.training.optimizer import build_optimizer


@pytest.mark.parametrize("shape", [(9, 16), (40, 12)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_orthogonal_keeps_singular_vectors_and_makes_the_values_alike(
    shape: tuple[int, int], dtype: str
) -> None:
    random = np.random.default_rng(0)
    left = np.linalg.qr(random.normal(size=(shape[0], min(shape))))[0]
    right = np.linalg.qr(random.normal(size=(shape[1], min(shape))))[0]
    values = np.geomspace(1.0, 0.1, min(shape))
    matrix = keras.ops.cast((left * values) @ right.T, dtype)
    found = np.asarray(keras.ops.cast(orthogonal(matrix), "float32"))
    between = left.T @ found @ right
    tolerance = 0.01 if dtype == "float32" else 0.1
    assert 0.65 < np.diag(between).min() < np.diag(between).max() < 1.25
    np.testing.assert_allclose(between, np.diag(np.diag(between)), atol=tolerance)


def steps(spec: TrainingSpec, start: list[np.ndarray], *, fused: bool) -> list[np.ndarray]:
    """Variables, kernels and a bias, after four steps by gradients that are always the same."""
    names = ["kernel" if value.ndim > 1 else "bias" for value in start]
    variables = [keras.Variable(value, name=n) for value, n in zip(start, names, strict=True)]
    optimizer = build_optimizer(spec, 4, fused=fused)
    optimizer.build(variables)
    if spec.weight_average:
        optimizer.follow(variables)
    for step in range(4):
        random = np.random.default_rng(step)
        gradients = [random.normal(size=v.shape).astype("float32") for v in start]
        optimizer.apply([tf.constant(gradient) for gradient in gradients], variables)
    return [np.asarray(variable) for variable in variables]


@pytest.fixture
def start() -> list[np.ndarray]:
    random = np.random.default_rng(9)
    shapes = ((3, 3, 4, 8), (20, 10), (10,))
    return [random.normal(size=shape).astype("float32") for shape in shapes]


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_convolutions_take_muon_and_all_else_adamw(start: list[np.ndarray], average: float) -> None:
    shared = {"epochs": 1, "schedule": OneCycle(), "weight_average": average}
    settings = {"learning_rate": 0.01, "weight_decay": 0.1}
    own = steps(TrainingSpec(optimizer=Muon(**settings), **shared), start, fused=True)
    adamw = steps(TrainingSpec(optimizer=AdamW(**settings), **shared), start, fused=True)
    assert not np.allclose(own[0], adamw[0], atol=1e-3)
    for mine, theirs in zip(own[1:], adamw[1:], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    unfused = steps(TrainingSpec(optimizer=Muon(**settings), **shared), start, fused=False)
    for mine, theirs in zip(own, unfused, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_a_step_is_orthogonal_and_of_the_size_of_adamw(start: list[np.ndarray]) -> None:
    """Whatever the gradient's size: the root mean square is 0.2 of the rate (Liu et al., 2025)."""
    spec = TrainingSpec(epochs=1, optimizer=Muon(learning_rate=0.01, weight_decay=0))
    variable = keras.Variable(start[0], name="kernel")
    gradient = np.random.default_rng(1).normal(size=start[0].shape).astype("float32")
    moved = []
    for size in (1e-6, 1e3):
        before = np.asarray(variable)
        optimizer = build_optimizer(spec, 4)
        optimizer.build([variable])
        optimizer.apply([tf.constant(size * gradient)], [variable])
        moved.append((np.asarray(variable) - before).reshape(36, 8))
    np.testing.assert_allclose(*moved, rtol=1e-2, atol=1e-5)
    values = np.linalg.svd(moved[0], compute_uv=False) / (0.01 * 0.2 * 6)
    assert 0.65 < values.min() < values.max() < 1.25
    assert np.sqrt((moved[0] ** 2).mean()) == pytest.approx(0.01 * 0.2, rel=0.25)
