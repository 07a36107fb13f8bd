"""The group of commands. Each imports what it needs when it runs: ``--help`` must be quick."""

import errno
import importlib
import sys
import warnings
from typing import Any

import click

from kerascw.errors import Interrupted, KerascwError
from kerascw.experiment.own_file import place_of, reason_of

_COMMANDS = {
    "compare": "Compare runs: one table and overlaid curves.",
    "data": "List the datasets, and show their images.",
    "export": "Export the model of a run.",
    "fidelity": "Print the reports' settings beside the studies'.",
    "learning-curve": "Train on growing shares of a dataset.",
    "list": "List the studies and the recipes.",
    "lr-find": "Test which learning rates a model trains with.",
    "power": "Say how many seeds a difference needs.",
    "predict": "Classify images with an exported model.",
    "prune": "Delete the runs that nothing kept refers to.",
    "report": "Draw the page of a run, study or search again.",
    "results": "Print measured figures beside the published ones.",
    "robustness": "Score a run on corrupted test images.",
    "run": "Run a study: train, evaluate, draw, export.",
    "serve": "Serve an exported model over HTTP, with a page.",
    "show": "Print a run, or list what is kept.",
    "tensorboard": "Show runs in TensorBoard, also in training.",
    "train": "Train a model on images of your own.",
    "tune": "Search hyperparameters with KerasTuner's oracles.",
    "variance": "Say where the noise of a result comes from.",
    "verify": "Train a kept run anew and compare the two.",
    "zoo": "Export the models that come with the repository.",
}
"""The line in ``--help`` of every command, whose module has its name: none is imported for it."""

_CURES = {
    errno.ENOSPC: "free some space; the same command goes on from there",
    errno.EDQUOT: "free some space; the same command goes on from there",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.EROFS: "choose a folder that can be written",
}


class _Group(click.Group):
    """Imports commands late, and ends every foreseeable error with one line and an exit code."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module = importlib.import_module(f"kerascw.commands.{name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        warnings.formatwarning = _one_line
        try:
            # what Click does in this mode itself takes five lines for an error
            code = super().main(*args, standalone_mode=False, **extra)  # type: ignore[call-overload]
            if not standalone_mode:
                return code
            sys.exit(code if isinstance(code, int) else 0)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(error.exit_code)
        except click.ClickException as error:
            _end(_of_click(error), error.exit_code)
        except click.Abort:
            _end("stopped", Interrupted.exit_code)
        except KerascwError as error:
            _end(str(error), error.exit_code)
        except OSError as error:
            _end(_of_system(error), 1)
        except Exception as error:
            if (place := place_of(error)) is None:
                raise
            _end(f"{place}: {reason_of(error)}", 1)


def _end(message: str, code: int) -> None:
    click.echo(f"kerascw: {message}", err=True)
    sys.exit(code)


def _of_click(error: click.ClickException) -> str:
    """Return Click's complaint in one line: the command, what is wrong, where to look."""
    message = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    if context is None or context.parent is None:
        return message
    return f"{context.info_name}: {message}"


def _of_system(error: OSError) -> str:
    """Return what the system refused: the file, the reason, what to do."""
    reason = error.strerror or str(error)
    if error.filename is not None:
        reason = f"{error.filename}: {reason}"
    cure = _CURES.get(error.errno or 0)
    return f"{reason}; {cure}" if cure else reason


def _one_line(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> str:
    """Format a warning for users, without the place in the code."""
    name = "kerascw" if category is UserWarning else category.__name__
    return f"{name}: {message}\n"


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog="\b\npython -m kerascw run fashion\n"
    "python -m kerascw predict saved_models/fashion image.png",
)
@click.version_option(package_name="kerascw")
def main() -> None:
    """Study small-image classification with convnets, and use the trained models."""
