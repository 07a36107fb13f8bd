"""What a cross-validation shows, and how its figures are to be read."""

from kerascw.lab.plan import StudyResult
from kerascw.lab.repeats import repeats_of

TOO_NARROW = (
    "The folds share training images, so their figures depend on one another: the confidence "
    "interval over the folds is too narrow (Bengio and Grandvalet, 2004)."
)


def figures_shown(result: StudyResult) -> tuple[str, ...]:
    """Return the study's figures, and those of the held-out fold if a variant has folds."""
    shown, wanted = result.study.figures, ["validation.loss"]
    if all(repeats_of(runs).folds is None for runs in result.runs.values()):
        return shown
    autoencoders = all(run.experiment.reconstructs for run in result.every_run)
    if "validation.error" not in shown and not autoencoders:
        wanted.insert(0, "validation.accuracy")
    return (*(name for name in wanted if name not in shown), *shown)


def notes(result: StudyResult) -> list[str]:
    """Say how the means and intervals of a study with folds are to be read; else nothing."""
    folded = [repeats for runs in result.runs.values() if (repeats := repeats_of(runs)).folds]
    if not folded:
        return []
    sentences = [TOO_NARROW]
    if any(repeats.seeds > 1 for repeats in folded):
        sentences.append("The figure of a fold is its mean over the seeds.")
    if "validation_images" in result.every_run[0].environment["data"]["sha256"]:
        sentences.append(
            "The dataset's own validation set is not used: the folds are of its training images."
        )
    return sentences
