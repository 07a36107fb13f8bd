"""The sentence that a study's page begins with: the answer to its question."""

from collections.abc import Sequence

from kerascw.lab.certainty import LEVEL, Comparison, comparisons_of
from kerascw.lab.plan import StudyResult
from kerascw.lab.study import Answer

_ASKS_YES_OR_NO = ("Are", "Do", "Does", "Is")


def conclusion(result: StudyResult, answers: Sequence[Answer]) -> str:
    """Answer the study's question; empty where a single figure is all there is to say.

    A study names the answer that leads; else its differences in test accuracy to a baseline do, by
    confidence intervals over seeds and test images, with p-values adjusted by Holm's method.
    """
    study = result.study
    if study.led_by:
        led = [each for each in answers if each.question.startswith(study.led_by)]
        return _first_sentence(led[0].answer) if led else ""
    if study.baseline is None:
        return ""
    compared = comparisons_of(result)
    if not compared:
        return ""
    asks = study.question.split()[0] in _ASKS_YES_OR_NO
    said = _of_one(compared[0], asks) if len(compared) == 1 else _of_many(compared, asks)
    return f"{said[0].upper()}{said[1:]}"


def _first_sentence(text: str) -> str:
    """Return the first sentence, with a yes or a no that stands before it.

    >>> _first_sentence("Yes. In all 3 seeds. More.")
    'Yes. In all 3 seeds.'
    """
    sentences = text.split(". ")
    taken = 2 if len(sentences[0]) < len("Yes, as far as is shown.") else 1
    return ". ".join(sentences[:taken]).removesuffix(".") + "."


def _of_one(only: Comparison, asks: bool) -> str:
    mean, (low, high) = only.difference.mean, only.difference.interval
    interval = f"95 % CI {low:+.4f} to {high:+.4f}, paired over {_over(only)}"
    what = f"the test accuracy of {only.variant}"
    if only.adjusted >= LEVEL:
        says = "not shown: " if asks else ""
        return (
            f"{says}{what} minus that of {only.baseline} is {mean:+.4f}, not significant at 95 % "
            f"({interval})."
        )
    says, how = ("yes: ", "higher") if mean > 0 else ("no: ", "lower")
    return (
        f"{says if asks else ''}{what} is {how} than that of {only.baseline}, by {abs(mean):.4f} "
        f"({interval})."
    )


def _of_many(compared: Sequence[Comparison], asks: bool) -> str:
    sure = [each for each in compared if each.adjusted < LEVEL]
    groups = {
        "higher": [each for each in sure if each.difference.mean > 0],
        "lower": [each for each in sure if each.difference.mean < 0],
        "not significantly different": [each for each in compared if each not in sure],
    }
    helps, of = len(groups["higher"]), len(compared)
    says = f"yes, {helps} of {of}: " if helps else "no: " if len(sure) == of else "not shown: "
    bases = {each.baseline for each in compared}
    base = bases.pop() if len(bases) == 1 else "its baseline each"
    listed = "; ".join(
        f"{word}: " + ", ".join(f"{each.variant} ({each.difference.mean:+.4f})" for each in group)
        for word, group in groups.items()
        if group
    )
    return (
        f"{says if asks else ''}test accuracy against {base} (at 95 %, adjusted for {of} "
        f"comparisons, over {_over(compared[0])}): {listed}."
    )


def _over(compared: Comparison) -> str:
    return f"{compared.difference.seeds} seeds and {compared.difference.images:,} test images"
