"""Studies of the convnet lab: variant tables on MNIST and Fashion-MNIST.

    python -m kerascw run mnist-variants
    python -m kerascw run mnist-convnet --budget full
    python -m kerascw run fashion-variants

The report was made with Keras, and its defaults are those here: RMSprop 1e-3, Glorot initial
weights. Batches are of 64 and pixels in [0, 1].
"""

from statistics import fmean

from kerascw.errors import CallError
from kerascw.evaluation.statistics import over_seeds
from kerascw.experiment import spec
from kerascw.lab.derive import retrained_on_everything
from kerascw.lab.effects import answers_to, effect_text, listed
from kerascw.lab.published import report
from kerascw.lab.repeats import repeats_of
from kerascw.lab.study import Answer, Runs, Study, fields_of
from kerascw.lab.table import difference_text
from kerascw.models import check_model


def _training(epochs: int, batch_size: int = 64) -> spec.TrainingSpec:
    return spec.TrainingSpec(
        epochs=epochs,
        batch_size=batch_size,
        optimizer=spec.RMSprop(learning_rate=1e-3),
        keep="last",
    )


def _times(runs: Runs, variant: str, baseline: str) -> float:
    """Return how many times the baseline's parameters a variant has."""
    ours, theirs = (runs[name][0].metrics["parameters"] for name in (variant, baseline))
    return float(ours / theirs)


# --- MNIST ----------------------------------------------------------------------------------


def mnist_variants() -> dict[str, spec.Experiment]:
    """Tests 1, 2, 4, 5 and 6, 5 epochs each."""
    return {
        f"test {number}": spec.Experiment(
            data=spec.DataSpec(name="mnist", holdout=spec.Holdout(how="last", count=5000)),
            model=spec.ConvNet(filters=filters, kernels=kernels, pool_after=pools, dense=dense),
            training=_training(epochs=5),
        )
        for number, filters, kernels, pools, dense, _ in report("convnet_lab")["mnist"]["rows"]
    }


def mnist_refused() -> dict[str, str]:
    """Why test 3 has no figures."""
    facts = report("convnet_lab")["mnist"]["unfit"]
    unfit = spec.ConvNet(filters=facts["filters"], pool_after=facts["pool_after"], head=None)
    try:
        check_model(unfit, (28, 28, 1))
    except CallError as error:
        return {f"test {facts['test']}": str(error)}
    raise AssertionError("test 3 of the convnet lab has no head and cannot be fitted")


_ASKED = {
    "test 2": "What do larger kernels (5x5 in the first two layers) change?",
    "test 4": "What does a layer and a pool less change?",
    "test 5": "What do two more layers change?",
    "test 6": "What does no pooling change?",
}


def mnist_answers(runs: Runs) -> list[Answer]:
    """What each change to test 1 does, beside the parameters that it costs."""
    return [
        Answer(
            question,
            f"Test accuracy, {name} minus test 1: {text}, with {_times(runs, name, 'test 1'):.2f} "
            "times the parameters.",
        )
        for name, question in _ASKED.items()
        if (text := effect_text(runs, name, "test 1", "test.accuracy"))
    ]


MNIST_VARIANTS = Study(
    **fields_of("convnet_lab", "mnist-variants"),
    variants=mnist_variants,
    refused=mnist_refused,
    answers=mnist_answers,
)


_CONVNET, _DENSE = "convnet (test 1)", "dense only"


def mnist_convnet() -> dict[str, spec.Experiment]:
    """Test 1 and a dense-only network, on all 60,000 images."""
    convnet = spec.ConvNet(filters=(32, 64, 64), pool_after=(1, 2), dense=(64,))
    data = spec.DataSpec(name="mnist")
    return {
        _CONVNET: spec.Experiment(data=data, model=convnet, training=_training(5)),
        _DENSE: spec.Experiment(
            data=data, model=spec.DenseNet(dense=(512,)), training=_training(5, 128)
        ),
    }


def convnet_answers(runs: Runs) -> list[Answer]:
    """By how much the convnet is better than the dense network."""
    text = effect_text(runs, _CONVNET, _DENSE, "test.accuracy")
    said = f"Accuracy {text} (published, one run each: 0.991 against 0.978)." if text else ""
    question = "How much better than the dense network is the convnet on test images?"
    return answers_to({question: said})


MNIST_CONVNET = Study(
    **fields_of("convnet_lab", "mnist-convnet"), variants=mnist_convnet, answers=convnet_answers
)


# --- Fashion-MNIST --------------------------------------------------------------------------

_DROPOUT = {
    "none": (),
    "pool": (spec.Dropout(after="pool", rate=0.3),),
    "flatten": (spec.Dropout(after="flatten", rate=0.3),),
}

_CHANGED_FROM = {
    "test 7.1": "test 7",
    "test 7.2": "test 7",
    "test 8": "test 7",
    "test 9.1": "test 9",
}
"""Of each test that adds dropout or leaves out pooling, the test that it is compared with."""

_PRINTED = "final as printed"
"""Test 7 for 15 epochs on 55,000 images: its dropout went to another model object."""

_FINAL = "final (test 7 without dropout)"


def fashion_variants() -> dict[str, spec.Experiment]:
    """Tests 7 to 9.1, 20 epochs each, and the final model as printed, 15 epochs.

    The first 5,000 images are held out.
    """
    facts = report("convnet_lab")["fashion"]
    tests = {
        f"test {number}": spec.Experiment(
            data=spec.DataSpec(name="fashion_mnist", holdout=spec.Holdout(how="first", count=5000)),
            model=spec.ConvNet(
                filters=filters, pool_after=pools, dense=dense, dropout=_DROPOUT[dropout]
            ),
            training=_training(epochs=20),
        )
        for number, filters, dropout, pools, dense, _ in facts["rows"]
    }
    final = tests["test 7"].model_copy(update={"training": _training(facts["final_epochs"])})
    return tests | {_PRINTED: final}


def _histories(runs: Runs, name: str) -> list[list[dict[str, float]]]:
    """Return the histories of a variant's runs that held out and did not diverge."""
    return [
        run.history
        for run in runs[name]
        if run.metrics["status"] == "finished" and run.experiment.data.holdout
    ]


def _mean_validation_loss(runs: Runs, name: str) -> list[float]:
    """Return the validation loss of every epoch, averaged over the runs."""
    rows = zip(*_histories(runs, name), strict=False)
    return [fmean(row["validation_loss"] for row in epoch) for epoch in rows]


def best_epoch(runs: Runs, name: str) -> int | None:
    """Return the epoch with the lowest validation loss over the seeds, None if all diverged."""
    losses = _mean_validation_loss(runs, name)
    return losses.index(min(losses)) + 1 if losses else None


def lowest_validation_loss(runs: Runs) -> str | None:
    """Return the test whose best epoch has the lowest validation loss, None if all diverged."""
    tests = [name for name in runs if name.startswith("test")]
    lowest = {n: min(losses) for n in tests if (losses := _mean_validation_loss(runs, n))}
    return min(lowest, key=lambda name: lowest[name]) if lowest else None


def fashion_final(runs: Runs) -> dict[str, spec.Experiment]:
    """Fresh models on the whole training set, for the epochs that validation found best.

    One is the report's choice, test 7 (its dropout went to another model object); the other is
    the variant with the lowest validation loss over the seeds. What diverged has none.
    """
    lowest = lowest_validation_loss(runs)
    chosen = {_FINAL: "test 7"} | ({f"final (best: {lowest})": lowest} if lowest else {})
    return {
        label: retrained_on_everything(runs[name][0], epochs)
        for label, name in chosen.items()
        if (epochs := best_epoch(runs, name)) is not None
    }


def fashion_answers(runs: Runs) -> list[Answer]:
    """Best epochs, whether models overfit, and what dropout and no pooling do."""
    tests = [name for name in runs if name.startswith("test ")]
    best = {name: epoch for name in tests if (epoch := best_epoch(runs, name)) is not None}
    if not best:
        return []
    found = ", ".join(f"{name}: {epoch}" for name, epoch in best.items())
    unit = repeats_of(runs[next(iter(best))]).unit
    overfitted = [_overfitted(runs, name, epoch) for name, epoch in best.items()]
    dropout = [
        f"{name} ({where}) minus {base}: validation loss of the last epoch {loss}, test accuracy "
        f"{accuracy}"
        for name, base, where in (
            ("test 7.1", "test 7", "after both pools"),
            ("test 7.2", "test 7", "after flattening"),
            ("test 9.1", "test 9", "after flattening"),
        )
        if (loss := effect_text(runs, name, base, "validation.loss"))
        and (accuracy := effect_text(runs, name, base, "test.accuracy"))
    ]
    lowest = f"{lowest_validation_loss(runs)}."
    epochs = f"{found} (mean over {unit}s; the report's final model was trained for 15)."
    return answers_to(
        {
            "After how many epochs is the validation loss lowest?": epochs,
            "Which variant has the lowest validation loss at its best epoch?": lowest,
            "Is it overfitted, and from which epoch on?": listed(overfitted),
            "Does dropout help?": listed(dropout),
            "What does no pooling cost?": _no_pooling(runs),
        }
    )


def _overfitted(runs: Runs, name: str, epoch: int) -> str:
    """From which epoch on the validation loss rises while the training loss falls."""
    histories = _histories(runs, name)
    last = min(map(len, histories))
    if epoch == last:
        return f"{name}: not within {last} epochs"
    validation, train = (
        difference_text(over_seeds([rows[-1][loss] - rows[epoch - 1][loss] for rows in histories]))
        for loss in ("validation_loss", "train_loss")
    )
    return (
        f"{name}: from epoch {epoch + 1} on (between epochs {epoch} and {last}, the validation "
        f"loss changes by {validation} and the training loss by {train})"
    )


def _no_pooling(runs: Runs) -> str:
    without, pools = "test 8", "test 7"
    accuracy = effect_text(runs, without, pools, "test.accuracy")
    if not accuracy:
        return ""
    seconds, theirs = (
        fmean(run.environment["training_seconds"] for run in runs[name])
        for name in (without, pools)
    )
    return (
        f"Test 8 minus test 7: test accuracy {accuracy}, validation loss "
        f"{effect_text(runs, without, pools, 'validation.loss')}, with "
        f"{_times(runs, without, pools):.0f} times the parameters and {seconds / theirs:.1f} times "
        "the training time."
    )


FASHION_VARIANTS = Study(
    **fields_of("convnet_lab", "fashion-variants"),
    variants=fashion_variants,
    baseline_of=_CHANGED_FROM.get,
    then=fashion_final,
    answers=fashion_answers,
)
