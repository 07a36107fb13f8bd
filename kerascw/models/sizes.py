"""Follow an image's size through the layers, before TensorFlow is needed to build them."""

from kerascw.errors import CallError
from kerascw.experiment.spec import Autoencoder, ConvNet, Shape

Sides = tuple[int, int]


def check_convnet(spec: ConvNet, input_shape: Shape) -> None:
    """Refuse where nothing is left of the image, or no class probabilities come out."""
    first = spec.kernel_of(0)
    if spec.first_filters == "whitening" and first > min(input_shape[:2]):
        raise CallError(
            f"model.first_filters: whitening needs patches of {first}x{first}, and the images are "
            f"{_size(input_shape[:2])}; choose random"
        )
    _, sides = _followed(spec, input_shape[:2])
    if spec.head is None:
        raise CallError(
            f"model.head: none, so the last layer, conv {len(spec.filters)}, gives maps of "
            f"{_size(sides)}x{spec.filters[-1]} and no class probabilities; such a model cannot "
            "be fitted to labels; choose flatten or average"
        )


def check_autoencoder(spec: Autoencoder, input_shape: Shape) -> None:
    """Refuse where the image does not come back in its size.

    Pooling drops the last row or column of an odd side, and upsampling does not bring it back.
    """
    encoder, given = spec.encoder, input_shape[:2]
    pooled, sides = _followed(encoder, given, "kernels")
    for layer in reversed(range(len(spec.filters))):
        around = encoder.kernel_of(layer) - 1
        sides = 2 * sides[0] + around, 2 * sides[1] + around
    if sides != given:
        number, odd = next((n, s) for n, s in enumerate(pooled, start=1) if s[0] % 2 or s[1] % 2)
        raise CallError(
            f"model.kernels: an image of {_size(given)} comes back as {_size(sides)}: after conv "
            f"layer {number} it is {_size(odd)}, and pooling drops an odd side's last pixels; "
            "choose kernels that leave even sides before every pooling"
        )


def _followed(
    spec: ConvNet, sides: Sides, pooling: str = "pool_after"
) -> tuple[list[Sides], Sides]:
    """Return the size after each conv layer, before its pooling, and the size in the end.

    ``pooling`` is the field to blame for a pooling that leaves nothing.
    """
    found: list[Sides] = []
    for number in range(1, len(spec.filters) + 1):
        before, kernel, padding = sides, spec.kernel_of(number - 1), spec.padding_of(number - 1)
        if padding != "same":
            lost = kernel - 1 - (0 if padding == "valid" else 2 * int(padding))
            sides = sides[0] - lost, sides[1] - lost
        if min(sides) < 1:
            raise CallError(
                f"model.kernels: conv layer {number} ({kernel}x{kernel}, padding {padding}) "
                f"leaves no pixel of {_size(before)}"
            )
        found.append(sides)
        if number in spec.pool_after:
            size = spec.pool_size
            sides = sides[0] // size, sides[1] // size
            if min(sides) < 1:
                raise CallError(
                    f"model.{pooling}: the {size}x{size} pooling after conv layer {number} "
                    f"leaves no pixel of {_size(found[-1])}"
                )
    return found, sides


def _size(sides: Sides) -> str:
    return f"{sides[0]}x{sides[1]}"
