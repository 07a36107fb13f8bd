"""The sentence that answers a study's question."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from kerascw.evaluation.significance import Joint
from kerascw.lab import conclusion
from kerascw.lab.certainty import Comparison
from kerascw.lab.study import Answer, Study


def compared(variant: str, mean: float, adjusted: float) -> Comparison:
    joint = Joint(
        mean=mean,
        interval=(mean - 0.01, mean + 0.01),
        over_seeds=None,
        over_images=(mean - 0.01, mean + 0.01),
        p_value=adjusted,
        seeds=5,
        images=1000,
        image_variance=0.0,
    )
    return Comparison(variant, "plain", joint, adjusted, 0.06, 0.01, 0.0)


def said(monkeypatch: pytest.MonkeyPatch, question: str, *several: Comparison) -> str:
    monkeypatch.setattr(conclusion, "comparisons_of", lambda _: list(several))
    study = Study(name="s", question=question, variants=dict, baseline="plain")
    result: Any = SimpleNamespace(study=study)
    return conclusion.conclusion(result, [])


@pytest.mark.parametrize(
    ("mean", "adjusted", "begins"),
    [
        (0.02, 0.01, "Yes: the test accuracy of deep is higher than that of plain, by 0.0200 ("),
        (-0.02, 0.01, "No: the test accuracy of deep is lower than that of plain, by 0.0200 ("),
        (0.005, 0.4, "Not shown: the test accuracy of deep minus that of plain is +0.0050, not"),
    ],
)
def test_a_yes_or_no_question_gets_one(
    mean: float, adjusted: float, begins: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = said(monkeypatch, "Is deep better?", compared("deep", mean, adjusted))
    assert text.startswith(begins)
    assert text.endswith("paired over 5 seeds and 1,000 test images).")
    other = said(monkeypatch, "How much better is deep?", compared("deep", mean, adjusted))
    assert other.startswith("The test accuracy of deep")


def test_several_variants_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    several = (compared("a", 0.02, 0.001), compared("b", -0.03, 0.02), compared("c", 0.004, 0.5))
    assert said(monkeypatch, "Do changes help?", *several) == (
        "Yes, 1 of 3: test accuracy against plain (at 95 %, adjusted for 3 comparisons, over 5 "
        "seeds and 1,000 test images): higher: a (+0.0200); lower: b (-0.0300); not significantly "
        "different: c (+0.0040)."
    )
    none = said(monkeypatch, "Do changes help?", *several[1:])
    assert none.startswith("Not shown: ")
    assert said(monkeypatch, "Do changes help?", several[1], several[1]).startswith("No: ")


def test_an_answer_leads_where_the_study_says_so() -> None:
    study = Study(name="s", question="Why?", variants=dict, led_by="Is it")
    result: Any = SimpleNamespace(study=study)
    answers = [Answer("How?", "So."), Answer("Is it below 0.1?", "Yes. In all 3 seeds. And more.")]
    assert conclusion.conclusion(result, answers) == "Yes. In all 3 seeds."
    plain: Any = SimpleNamespace(study=replace(study, led_by="", baseline=None))
    assert conclusion.conclusion(plain, answers) == ""
