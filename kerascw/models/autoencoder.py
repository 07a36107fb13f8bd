"""Convolutional autoencoders: images in, images of the same size out."""

from keras import layers as kl

from kerascw.experiment.spec import Autoencoder, Shape
from kerascw.models.convnet import conv_stages
from kerascw.models.parts import Seeds, activation, kernel_initializer


def layers(spec: Autoencoder, input_shape: Shape, classes: int, seeds: Seeds) -> list[kl.Layer]:
    """Return all layers; the last one has as many filters as the image has channels.

    The encoder's are those of a convnet, which can so begin with their weights.
    """
    encoder, inputs = spec.encoder, (input_shape[-1], *spec.filters)
    stack = [layer for stage in conv_stages(encoder, seeds) for layer in stage]
    for number, mirrored in enumerate(reversed(range(len(spec.filters))), start=1):
        stack += [
            kl.UpSampling2D(2, name=f"up_{number}"),
            kl.Conv2DTranspose(
                inputs[mirrored],
                encoder.kernel_of(mirrored),
                name=f"deconv_{number}",
                kernel_initializer=kernel_initializer(spec.initializer, seeds),
            ),
            *activation(spec.activation, f"deconv_{number}_{spec.activation}"),
        ]
    return stack
