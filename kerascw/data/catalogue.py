"""The datasets that are known by name: facts only, nothing is loaded here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from kerascw.errors import CallError, choices


@dataclass(frozen=True)
class CatalogEntry:
    """What is known of a dataset before it is found.

    ``sha256`` are those of the decoded uint8 arrays (train images, train labels, test images,
    test labels) in C order, ``sample_sha256`` the same of the bundled sample;
    ``unordered_sha256`` is blind to the order of the examples
    (:attr:`kerascw.data.Dataset.unordered_sha256`). Where they are not known, ``md5`` are those
    that the authors, or what downloads their files, state for the files.
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    shape: tuple[int, int, int]  # height, width, channels
    counts: tuple[int, int]  # training, test
    sha256: tuple[str, str, str, str] | None = None
    unordered_sha256: str | None = None
    md5: Mapping[str, str] = field(default_factory=dict)  # by file name
    # how its files are laid out: see kerascw.data.sources.LAYOUTS; None: scikit-learn has it
    layout: Literal["idx", "cifar10", "svhn"] | None = "idx"
    folders: tuple[str, ...] = ()  # where in a data directory they may be (.../raw: torchvision)
    tfds: str | None = None
    tfds_train: tuple[str, ...] = ("train",)  # TFDS' splits that are the training set
    raw_unit: int = 1  # pixels are the published values times this
    system: Path | None = None  # where the system's package puts the files
    package: str | None = None
    sample: Path | None = None  # the folder of the bundled sample
    sample_sha256: tuple[str, str, str, str] | None = None
    light_on_dark: bool = False  # the background is black; photographs on white need inverting


_HERE = Path(__file__).parent
_SVHN_MD5 = {
    "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
    "extra_32x32.mat": "a93ce644f1a588dc4d68dda5feec44a7",
}

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
            unordered_sha256="65f4f2aa0ded2e88bd3b236fc486df106086760c912fdce7fdf9e604068a3541",
            tfds="fashion_mnist",
            folders=("fashion_mnist", "fashion-mnist", "FashionMNIST/raw"),
            system=Path("/usr/share/datasets/fashion-mnist"),
            package="dataset-fashion-mnist",
            sample=_HERE / "fashion_mnist_sample",
            sample_sha256=(
                "2b17438af55637db62c122a92490b5b4275bed5719a838b5b0486ea2193a98a4",
                "f16e201ddc15b401c509545575d23793b230f5735ae378c1ced3a6156cb72251",
                "3d7f6d64869a3f2d1afe64ae33ffb9b20670a91b31e3bbf0657e3999ec7b35cf",
                "6b25654537ff83dd6c40fe0a122c7778d8219b2a88ff02c36dbdd21152fdb075",
            ),
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
            unordered_sha256="79d7059b3dcd33303e0e52e2db58882decaba39632046ce01584052d51d43147",
            tfds="mnist",
            folders=("mnist", "MNIST/raw"),
            light_on_dark=True,
        ),
        CatalogEntry(
            name="digits",
            title="digits (scikit-learn)",
            class_names=tuple("0123456789"),
            shape=(8, 8, 1),
            counts=(1_350, 447),
            sha256=(
                "5c0297327e4339d74389a6d7681c42b59147d7cb9e3825afc675622f9ef1def9",
                "1bf6450e6ae9ea60e906af64570232ffef4a81c347c7617706509da35893df68",
                "59f06850683c4890720e3ea6efc7df920d1c177c08658662dea77c40372b054d",
                "081eae5798c4e56f5f64b86516e6efc18691e90fcc9e528ad108b3c0aa84431a",
            ),
            layout=None,
            # 0 to 16 becomes 0 to 240, about what an image file has
            raw_unit=15,
            light_on_dark=True,
        ),
        CatalogEntry(
            name="cifar10",
            title="CIFAR-10",
            class_names=(
                *("airplane", "automobile", "bird", "cat", "deer"),
                *("dog", "frog", "horse", "ship", "truck"),
            ),
            shape=(32, 32, 3),
            counts=(50_000, 10_000),
            md5={  # of the binary version's batches none are stated
                "cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a",
                "cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530",
                "data_batch_1": "c99cafc152244af753f735de768cd75f",
                "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
                "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
                "data_batch_4": "634d18415352ddfa80567beed471001a",
                "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
                "test_batch": "40351d587109b95175f43aff81a1287e",
            },
            layout="cifar10",
            tfds="cifar10",
            folders=(  # unpacked before packed
                *("cifar-10-batches-py", "cifar10/cifar-10-batches-py"),
                *("cifar-10-batches-bin", "cifar10/cifar-10-batches-bin", "cifar10"),
            ),
        ),
        CatalogEntry(
            name="svhn",
            title="SVHN",
            class_names=tuple("0123456789"),
            shape=(32, 32, 3),
            counts=(73_257, 26_032),
            md5=_SVHN_MD5,
            layout="svhn",
            tfds="svhn_cropped",
            folders=("svhn", "SVHN"),
        ),
        CatalogEntry(
            name="svhn_extra",
            title="SVHN with the extra images",
            class_names=tuple("0123456789"),
            shape=(32, 32, 3),
            counts=(73_257 + 531_131, 26_032),
            md5=_SVHN_MD5,
            layout="svhn",
            tfds="svhn_cropped",
            tfds_train=("train", "extra"),
            folders=("svhn", "SVHN"),
        ),
    )
}


def entry_for(name: str) -> CatalogEntry:
    """Return the catalogue's entry, or raise a :class:`CallError` with the choices."""
    try:
        return CATALOG[name]
    except KeyError:
        raise CallError(
            f"data.name: no dataset {name!r}; choose {choices(CATALOG, name)}, or a path"
        ) from None
