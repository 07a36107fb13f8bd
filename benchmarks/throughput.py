"""Training images a second of five architectures: kerascw, plain Keras and PyTorch.

    python benchmarks/throughput.py [--rounds 6] [--only "LeNet v4"] [--seconds 0.7]

The contenders are kerascw as it fits; ``model.fit`` on float images in memory, as a notebook has
it, and the same on a pipeline as Keras makes of such arrays, but with tf.data's autotuning off (see
docs/speed.md: with it, epochs end late); and a PyTorch 2 loop, eager, with contiguous and with
channels-last tensors. kerascw and PyTorch also in bfloat16 (``mixed_bfloat16``, and autocast).
Each has a process of its own and all cores, and they train two epochs of the same model on the same
(random) images in turn, A B C ... A B C ..., about ``--seconds`` an epoch; the first time of each
is not counted. Ratios are of medians, and are given to the better Keras and to the best PyTorch, in
bfloat16 of both precisions. The share of the peak is of the arithmetic of convolutions and dense
layers, forward and backward, in the rate of a large single-precision matrix product, measured in
the same rounds.

LeNet's idle auxiliary heads, augmentation and the digits' L2 are left out everywhere.
"""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from statistics import geometric_mean
from typing import Any

import numpy as np
from harness import Tasks, contenders, gemm_peak, in_turn, machine, markdown, options, save, spread

from kerascw.experiment.settings import override
from kerascw.experiment.spec import Experiment
from kerascw.quiet import import_tensorflow
from kerascw.studies import study_named
from kerascw.studies.lenet import experiment as lenet

KERAS = ("Keras", "Keras, autotune off")
PYTORCH = ("PyTorch", "PyTorch, channels last")
BFLOAT16 = ("kerascw, bfloat16", "PyTorch, bfloat16, channels last")
CONTENDERS = ("kerascw", *KERAS, *PYTORCH, *BFLOAT16)
EPOCHS = 2
"""In one turn: an iterator serves all epochs of a fit, and making it counts."""
RATIOS = {
    "to_keras": ("to Keras", "kerascw", KERAS),
    "to_pytorch": ("to PyTorch", "kerascw", PYTORCH),
    "to_better": ("to the better", "kerascw", (*KERAS, *PYTORCH)),
    "bfloat16_to_keras": ("bfloat16 to Keras", BFLOAT16[0], KERAS),
    "bfloat16_to_pytorch": ("bfloat16 to PyTorch", BFLOAT16[0], (*PYTORCH, BFLOAT16[1])),
}
"""By its name in the results: its title, whose rate it is, and to the best of which."""

OPTIMIZERS = {"adam": "Adam", "adamax": "Adamax", "rmsprop": "RMSprop", "sgd": "SGD"}
RATES = {"bag-cnn": 15e3, "test 1": 9e3, "LeNet v4": 4e3, "cifar-cnn": 10e3, "digits": 50e3}
"""About how many images a second, to choose how many one turn takes."""


def architectures() -> dict[str, tuple[Experiment, tuple[int, int, int], int]]:
    """Return experiment, image shape and number of classes of each."""
    found = {
        "bag-cnn": (study_named("bag-cnn").variants()["bag-cnn"], (28, 28, 1), 5),
        "test 1": (study_named("mnist-convnet").variants()["convnet (test 1)"], (28, 28, 1), 10),
        "LeNet v4": (lenet("variant_4"), (28, 28, 1), 10),
        "cifar-cnn": (study_named("cifar-cnn").variants()["tuned"], (32, 32, 3), 10),
        "digits": (study_named("digits").variants()["convnet"], (8, 8, 1), 10),
    }
    bare = {"training.augmentation": [], "training.l2": 0.0, "model.auxiliary": []}
    return {name: (override(e, bare), *rest) for name, (e, *rest) in found.items()}


def random_images(
    shape: tuple[int, int, int], classes: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return random uint8 images and int32 labels, the same in every process."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, *shape), np.uint8)
    return images, random.integers(0, classes, count).astype(np.int32)


# --- the contenders: each function returns one that trains an epoch --------------------------


def contender(name: str, who: str, count: int) -> Tasks:
    """Build the model of an architecture and its training on ``count`` images."""
    experiment, shape, classes = architectures()[name]
    given = experiment, *random_images(shape, classes, count), classes
    bfloat16 = who in BFLOAT16
    if "PyTorch" in who:
        return {"epochs": torch_loop(*given, channels_last="last" in who, bfloat16=bfloat16)}
    import_tensorflow()
    if who in KERAS:
        return {"epochs": plain_keras(*given, autotune="off" not in who)}
    return {"epochs": ours(*given, "mixed_bfloat16" if bfloat16 else "float32")}


def ours(
    experiment: Experiment, images: np.ndarray, labels: np.ndarray, classes: int, precision: str
) -> Callable[[], object]:
    """Train as :func:`kerascw.training.fit.fit` does."""
    from kerascw.data import Part
    from kerascw.data.pipeline import training_batches
    from kerascw.models import build_model
    from kerascw.runs.environment import have_threads
    from kerascw.training.fit import compiled
    from kerascw.training.loop import Epochs, Trainer
    from kerascw.training.prepare import device_for

    have_threads()
    spec, device = experiment.training, device_for(precision)
    network = build_model(
        experiment.model, images.shape[1:], classes, seed=0, for_training=True, precision=precision
    )
    trainer = Trainer(compiled(experiment, network, device, len(images))[0], device)

    def epochs() -> None:
        numbers = range(EPOCHS)
        batches = training_batches(
            Part(images, labels),
            classes=classes,
            batch_size=spec.batch_size,
            seed=0,
            epochs=numbers,
        )
        trainer.train(batches, numbers, len(images), spec.batch_size, Epochs())

    return epochs


def plain_keras(
    experiment: Experiment, images: np.ndarray, labels: np.ndarray, classes: int, autotune: bool
) -> Callable[[], object]:
    """Train as a notebook does; without ``autotune`` on a pipeline of our own, else Keras'."""
    import keras

    kl, spec = keras.layers, experiment.model
    layers: list[Any] = [keras.Input(images.shape[1:])]

    def add(layer: Any, activation: str, batch_norm: bool) -> None:
        layers.append(layer)
        if batch_norm:
            layers.append(kl.BatchNormalization(momentum=spec.batch_norm_momentum))
        layers.append(kl.Activation(activation))

    for at, filters in enumerate(spec.filters):
        convolution = kl.Conv2D(filters, spec.kernel_of(at), padding=spec.padding_of(at))
        add(convolution, spec.activation, spec.batch_norm)
        if at + 1 in spec.pool_after:
            layers.append(kl.MaxPooling2D(2))
    layers.append(kl.Flatten())
    for units in spec.dense:
        add(kl.Dense(units), spec.dense_activation or spec.activation, spec.dense_batch_norm)
    model = keras.Sequential([*layers, kl.Dense(classes, activation="softmax")])
    optimizer = experiment.training.optimizer
    model.compile(
        getattr(keras.optimizers, OPTIMIZERS[optimizer.kind])(optimizer.learning_rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    floats = images.astype("float32") / 255
    size = experiment.training.batch_size
    if autotune:
        return lambda: model.fit(floats, labels, batch_size=size, epochs=EPOCHS, verbose=0)
    batches = keras_batches(floats, labels, size)
    return lambda: model.fit(batches, epochs=EPOCHS, verbose=0)


def keras_batches(images: np.ndarray, labels: np.ndarray, size: int) -> Any:
    """Return shuffled batches as Keras makes them of arrays in memory, with autotuning off."""
    import tensorflow as tf

    from kerascw.data.pipeline import without_autotuning

    given = tf.constant(images), tf.constant(labels)

    def shuffled(_: Any) -> Any:
        order = tf.random.shuffle(tf.range(len(images)))
        return tf.data.Dataset.from_tensor_slices(order).batch(size)

    def gathered(positions: Any) -> Any:
        return tuple(tf.gather(array, positions) for array in given)

    batches = tf.data.Dataset.range(1).flat_map(shuffled).map(gathered, num_parallel_calls=2)
    steps = math.ceil(len(images) / size)
    batches = batches.apply(tf.data.experimental.assert_cardinality(steps))
    return without_autotuning(batches.prefetch(2))


def torch_loop(
    experiment: Experiment,
    images: np.ndarray,
    labels: np.ndarray,
    classes: int,
    channels_last: bool,
    bfloat16: bool,
) -> Callable[[], object]:
    """Train in PyTorch's own way, eagerly."""
    import torch
    from torch import nn

    model = torch_model(experiment.model, images.shape[1:], classes)
    x = torch.from_numpy(images.astype("float32") / 255).permute(0, 3, 1, 2).contiguous()
    y = torch.from_numpy(labels).long()
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    spec = experiment.training.optimizer
    kind = getattr(torch.optim, OPTIMIZERS[spec.kind])
    optimizer = kind(model.parameters(), lr=spec.learning_rate)
    size, loss_of = experiment.training.batch_size, nn.CrossEntropyLoss()

    def epochs() -> None:
        for _ in range(EPOCHS):
            order = torch.randperm(len(x))
            model.train()
            right, total = torch.zeros(()), torch.zeros(())
            for at in range(0, len(x), size):
                chosen = order[at : at + size]
                given, wanted = x[chosen], y[chosen]
                optimizer.zero_grad(set_to_none=True)
                with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                    logits = model(given)
                    loss = loss_of(logits, wanted)
                loss.backward()
                optimizer.step()
                total += loss.detach() * len(chosen)
                right += (logits.detach().argmax(1) == wanted).sum()
            float(right), float(total)

    return epochs


def torch_model(spec: Any, shape: tuple[int, ...], classes: int) -> Any:
    """Return the same layers in PyTorch, which pools after the activation as its tutorials do."""
    import torch
    from torch import nn

    layers: list[Any] = []

    def add(layer: Any, norm: Any, activation: str) -> None:
        layers.append(layer)
        layers.extend([norm] if norm else [])
        layers.extend([nn.ReLU()] if activation == "relu" else [])

    for at, filters in enumerate(spec.filters):
        convolution = nn.LazyConv2d(filters, spec.kernel_of(at), padding=spec.padding_of(at))
        add(convolution, nn.LazyBatchNorm2d() if spec.batch_norm else None, spec.activation)
        if at + 1 in spec.pool_after:
            layers.append(nn.MaxPool2d(2))
    layers.append(nn.Flatten())
    for units in spec.dense:
        norm = nn.LazyBatchNorm1d() if spec.dense_batch_norm else None
        add(nn.LazyLinear(units), norm, spec.dense_activation or spec.activation)
    model = nn.Sequential(*layers, nn.LazyLinear(classes))
    height, width, channels = shape
    model(torch.zeros(2, channels, height, width))  # gives lazy layers their sizes
    return model


# --- the measurement --------------------------------------------------------------------------


def operations(spec: Any, shape: tuple[int, int, int], classes: int) -> int:
    """Return the floating-point operations of one image's step: two for a multiply-add.

    Backward there are as many for the weights and as many for the input, which the first layer
    does not need.
    """
    height, width, channels = shape
    total = 0
    for at, filters in enumerate(spec.filters):
        kernel = spec.kernel_of(at)
        if spec.padding_of(at) == "valid":
            height, width = height - kernel + 1, width - kernel + 1
        total += 2 * height * width * kernel**2 * channels * filters * (2 if at == 0 else 3)
        if at + 1 in spec.pool_after:
            height, width = height // 2, width // 2
        channels = filters
    sizes = (channels * height * width, *spec.dense, classes)
    return total + sum(2 * 3 * a * b for a, b in pairwise(sizes))


def measured(name: str, rounds: int, seconds: float) -> dict[str, Any]:
    """Return the rates of all contenders on one architecture."""
    experiment, shape, classes = architectures()[name]
    size = experiment.training.batch_size
    count = max(4, round(RATES[name] * seconds / size)) * size
    with contenders(contender, {who: (name, who, count) for who in CONTENDERS}) as started:
        turns = {who: partial(seconds_of, "epochs") for who, seconds_of in started.items()}
        found = in_turn({"peak": gemm_peak, **turns}, rounds)
    peak = spread(found.pop("peak"))
    rates = {
        who: spread([EPOCHS * count / taken for taken in turns]) for who, turns in found.items()
    }
    medians = {who: rate["median"] for who, rate in rates.items()}
    needed = operations(experiment.model, shape, classes)
    return {
        "batch_size": size,
        "images": count,
        "rates": rates,
        **{
            ratio: medians[own] / max(medians[other] for other in others)
            for ratio, (_, own, others) in RATIOS.items()
        },
        "operations_per_image": needed,
        "gemm_peak": peak,
        "share_of_peak": medians["kerascw"] * needed / peak["median"],
    }


def table(found: dict[str, Any]) -> str:
    names = next(iter(found["architectures"].values()))["rates"]
    rows = [
        (
            name,
            one["batch_size"],
            *(
                "{median:,.0f} ({low:,.0f} to {high:,.0f})".format(**r)
                for r in one["rates"].values()
            ),
        )
        for name, one in found["architectures"].items()
    ]
    ratios = [
        (name, *(f"{one[ratio]:.2f}" for ratio in RATIOS), f"{one['share_of_peak']:.0%}")
        for name, one in found["architectures"].items()
    ]
    ratios.append(("geometric mean", *(f"{found[ratio]:.2f}" for ratio in RATIOS), ""))
    rates = markdown(("training, images/s", "batch", *names), rows)
    titles = (title for title, _, _ in RATIOS.values())
    return f"{rates}\n{markdown(('ratio', *titles, 'of GEMM peak'), ratios)}"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=0.7)
    parser.add_argument("--only", choices=RATES, help="print one architecture's, write no file")
    given = parser.parse_args()
    print(f"{machine()}, {given.rounds} rounds", flush=True)
    names = [given.only] if given.only else RATES
    each = {name: measured(name, given.rounds, given.seconds) for name in names}
    found: dict[str, Any] = {"architectures": each}
    for ratio in RATIOS:
        found[ratio] = geometric_mean(one[ratio] for one in each.values())
    print(table(found))
    if not given.only:
        save(given.results, "throughput", found)


if __name__ == "__main__":
    main()
