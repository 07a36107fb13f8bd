"""``python -m kerascw serve``: a model over HTTP. Importing this is quick: ``--help`` reads it."""

import gc
import ipaddress
from importlib.util import find_spec
from pathlib import Path

import click

from kerascw.errors import KerascwError, printable


@click.command("serve", epilog="\b\npython -m kerascw serve saved_models/mnist --port 8501")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--port", type=click.IntRange(0, 65535), default=8501, show_default=True,
              help="0: any that is free.")  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True,
              help="The address to listen at; 0.0.0.0 is all of this machine's.")  # fmt: skip
@click.option("--batching/--no-batching", default=True, show_default=True,
              help="Answer requests that wait at the same time in one batch.")  # fmt: skip
def command(model: Path, port: int, host: str, batching: bool) -> None:
    """Serve MODEL over HTTP until Ctrl-C: a page, image files, TensorFlow Serving's REST API.

    MODEL is a folder that export wrote, such as saved_models/mnist. A new version in it is taken up
    without a stop. A LiteRT or ONNX export of the same run in it (MODEL/litert, MODEL/onnx) answers
    in the SavedModel's place.

    Nobody is asked for a password. docs/serving.md has the API and the limits.
    """
    for package in ("starlette", "uvicorn", "httptools", "python_multipart"):
        if find_spec(package) is None:
            raise KerascwError(
                f"to serve a model, {package} is needed, which is not installed; "
                "next: pip install 'kerascw[serve]'"
            )
    from kerascw.serving.run import address, listening, signals_end_it, web_server
    from kerascw.serving.shelf import Shelf

    with listening(host, port) as listener:  # before the model, which may take seconds
        shelf = Shelf(model, batching=batching)
        click.echo(f"model: {printable(shelf.current.model.title)}", err=True)
        if not ipaddress.ip_address(listener.getsockname()[0]).is_loopback:
            reach = f"everyone who reaches port {listener.getsockname()[1]} of this machine"
            click.echo(f"--host {host}: {reach} can use the model and its page", err=True)
        click.echo(f"serving {shelf.name}: {address(listener)} (Ctrl-C ends it)")
        # requests are trees of small lists without cycles: nothing is gained by looking for cycles
        # in them and, over and over, in all of TensorFlow
        gc.freeze()
        gc.set_threshold(200_000, 20, 20)
        server = web_server(shelf, say=lambda line: click.echo(printable(line), err=True))
        with signals_end_it():
            server.run(sockets=[listener])
    click.echo("ended", err=True)
