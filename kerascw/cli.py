"""The commands. Each is thin, and imports what it needs when it runs: ``--help`` must be quick."""

import sys

import click

from kerascw.errors import KerascwError


class _Group(click.Group):
    """End any of our own errors with one line and its exit code, never a traceback."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except KerascwError as error:
            click.echo(f"kerascw: {error}", err=True)
            sys.exit(error.exit_code)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Study small-image classification with convnets, and use what was trained."""
