"""Studies of "Image Based Deep Learning Techniques": CIFAR-10.

    python -m kerascw run cifar-mlp --data-dir DIR
    python -m kerascw run cifar-cnn --budget full --jobs 2 --data-dir DIR
    python -m kerascw run cifar-cnn --data folder:PATH

Question 1 writes a dense network in NumPy and trains it on all 60,000 images, the test set
included; question 2 trains a convnet in PyTorch on 40,000 and selects on 10,000. Pixels are in
[0, 1] in both. What the report did is repeated, to be compared with its figures; the same done
rightly stands beside it in the table, under a name of its own.
"""

from kerascw.evaluation.statistics import over_seeds
from kerascw.experiment import spec
from kerascw.lab.effects import answers_to, effect_text
from kerascw.lab.published import report
from kerascw.lab.repeats import values_of
from kerascw.lab.study import Answer, Runs, Study, fields_of
from kerascw.lab.table import spread_text

HELD_OUT = 10_000


def data(how: str) -> spec.DataSpec:
    """Return CIFAR-10, 40,000 to train and 10,000 to validate.

    ``sklearn`` with seed 42 is the report's split, which is not stratified.
    """
    seed = 42 if how == "sklearn" else 0
    holdout = spec.Holdout.model_validate({"how": how, "count": HELD_OUT, "seed": seed})
    return spec.DataSpec(name="cifar10", holdout=holdout)


# --- question 1 -----------------------------------------------------------------------------

PRINTED, APART, SOFTMAX = "as printed", "test set apart", "softmax, batch 64, test set apart"


def mlp() -> dict[str, spec.Experiment]:
    """Both published schedules: as printed, and with validation and test set apart.

    As printed: an image at a time, always in the order of the files; the gradient is that of the
    sum of ten binary cross-entropies; weights begin as 0.01 times standard normal, biases at 0.
    """
    sigmoid = spec.DenseNet(dense=(10,), output="sigmoid", initializer="normal_0.01")
    softmax = spec.DenseNet(dense=(10,), initializer="torch")
    everything = spec.DataSpec(name="cifar10", test_in_training=True)
    experiments = {}
    for name, facts in report("image_techniques")["mlp"].items():
        batches = spec.TrainingSpec(
            epochs=facts["epochs"],
            batch_size=64,
            optimizer=spec.SGD(learning_rate=facts["learning_rate"]),
            schedule=spec.InverseTime(every=facts["every"], decay=facts["decay"], epoch="last"),
            keep="last",
        )
        singly = batches.model_copy(
            update={"batch_size": 1, "shuffle": False, "loss_over_outputs": "sum"}
        )
        for label, own, model, training in (
            (PRINTED, everything, sigmoid, singly),
            (APART, data("stratified"), sigmoid, singly),
            (SOFTMAX, data("stratified"), softmax, batches),
        ):
            experiments[f"{name}, {label}"] = spec.Experiment(
                data=own, model=model, training=training
            )
    return experiments


def mlp_answers(runs: Runs) -> list[Answer]:
    """What tuning the schedule brings, and how far training accuracy tells of the test."""
    texts = {}
    for label, figure, title in (
        (PRINTED, "last_epoch.train_accuracy", "Training accuracy of the last epoch"),
        (APART, "test.accuracy", "Test accuracy"),
    ):
        if text := effect_text(runs, f"tuned, {label}", f"first, {label}", figure):
            texts[f"What does tuning the schedule bring ({label})?"] = (
                f"{title}, tuned minus first: {text}. The report's training accuracy went from "
                "0.195 to 0.442."
            )
    apart = runs.get(f"tuned, {APART}", ())
    train, test = (values_of(apart, f"{split}.accuracy") for split in ("train", "test"))
    if train and test:
        texts["How far is the printed training accuracy from the test accuracy?"] = (
            f"Tuned, with the test set apart: {spread_text(over_seeds(train))} on training "
            f"images and {spread_text(over_seeds(test))} on test images."
        )
    return answers_to(texts)


CIFAR_MLP = Study(**fields_of("image_techniques", "cifar-mlp"), variants=mlp, answers=mlp_answers)


# --- question 2 -----------------------------------------------------------------------------

_LAYERS = ("conv_1", "conv_2", "dense_1", "probabilities")
GOING_ON = "tuned, going on"


def cnn() -> dict[str, spec.Experiment]:
    """The convnet with the schedule it began with, and with the best of the search.

    Both are also trained on a stratified split.
    """
    model = spec.ConvNet(
        filters=(16, 32), padding="same", pool_after=(1, 2), dense=(128,), initializer="torch"
    )
    experiments = {}
    for how, suffix in (("sklearn", ""), ("stratified", ", stratified")):
        for name, facts in report("image_techniques")["cnn"].items():
            training = spec.TrainingSpec(
                epochs=10,
                batch_size=32,
                optimizer=spec.SGD(learning_rate=facts["learning_rate"]),
                schedule=spec.Step(every=facts["every"], factor=facts["factor"]),
                keep="last",
            )
            experiments[name + suffix] = spec.Experiment(
                data=data(how), model=model, training=training
            )
    return experiments


def going_on(runs: Runs) -> dict[str, spec.Experiment]:
    """The tuned schedule from the untuned model's weights, as the report trained it.

    ``tuned`` starts anew, as a comparison of schedules must.
    """
    untuned, tuned = (runs[name][0].experiment for name in ("untuned", "tuned"))
    return {
        GOING_ON: tuned.model_copy(update={"start": spec.WarmStart(source=untuned, layers=_LAYERS)})
    }


def cnn_answers(runs: Runs) -> list[Answer]:
    """What the schedule is worth by itself, and what going on from trained weights adds."""
    asked = {
        "What is the searched schedule worth, from fresh weights?": ("tuned", "untuned"),
        "What does going on from trained weights add?": (GOING_ON, "tuned"),
        "Does a stratified split change the tuned figure?": ("tuned, stratified", "tuned"),
    }
    texts = {}
    for question, (variant, baseline) in asked.items():
        effects = [
            f"{split} accuracy {text}"
            for split in ("validation", "test")
            if (text := effect_text(runs, variant, baseline, f"{split}.accuracy"))
        ]
        if effects:
            texts[question] = f"{variant} minus {baseline}: {', '.join(effects)}."
    return answers_to(texts)


CIFAR_CNN = Study(
    **fields_of("image_techniques", "cifar-cnn"), variants=cnn, then=going_on, answers=cnn_answers
)
