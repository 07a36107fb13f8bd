"""The datasets that are known by name: facts only, nothing is loaded here."""

from dataclasses import dataclass
from pathlib import Path

from kerascw.errors import CallError, choices


@dataclass(frozen=True)
class CatalogEntry:
    """What is known of a dataset before it is found.

    ``sha256`` are those of the decoded uint8 arrays (train images, train labels, test images,
    test labels) in C order.
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    shape: tuple[int, int, int]  # height, width, channels
    counts: tuple[int, int]  # training, test
    sha256: tuple[str, str, str, str]
    tfds: str
    folders: tuple[str, ...]  # names of a folder with its files inside a data directory
    system: Path | None = None  # where the system's package puts the files
    package: str | None = None
    sample: Path | None = None
    light_on_dark: bool = False  # the background is black; photographs on white need inverting


_HERE = Path(__file__).parent

CATALOG: dict[str, CatalogEntry] = {
    entry.name: entry
    for entry in (
        CatalogEntry(
            name="fashion_mnist",
            title="Fashion-MNIST",
            class_names=(
                *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
                *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
            ),
            shape=(28, 28, 1),
            counts=(60_000, 10_000),
            sha256=(
                "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
                "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
                "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
                "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
            ),
            tfds="fashion_mnist",
            folders=("fashion_mnist", "fashion-mnist"),
            system=Path("/usr/share/datasets/fashion-mnist"),
            package="dataset-fashion-mnist",
            sample=_HERE / "fashion_mnist_sample",
            light_on_dark=True,
        ),
        CatalogEntry(
            name="mnist",
            title="MNIST",
            class_names=tuple("0123456789"),
            shape=(28, 28, 1),
            counts=(60_000, 10_000),
            sha256=(
                "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
                "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
                "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
                "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
            ),
            tfds="mnist",
            folders=("mnist",),
            light_on_dark=True,
        ),
    )
}


def entry_for(name: str) -> CatalogEntry:
    """Return the catalogue's entry, or raise a :class:`CallError` with the choices."""
    try:
        return CATALOG[name]
    except KeyError:
        raise CallError(f"data.name: no dataset {name!r}; choose {choices(CATALOG)}") from None
