"""The data sets a study can name, and what is known of each before any file is opened."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["SOURCES", "Source"]


@dataclass(frozen=True)
class Source:
    """One data set.

    Attributes
    ----------
    module
        Where its ``read() -> Parts`` lives. It is imported only when the data are prepared, so
        that parameters can be checked without torch, scikit-learn or a file at hand.
    image_size
        Height and width in pixels.
    remarks
        What somebody who reads a result on it should know.
    """

    name: str
    title: str
    module: str
    image_size: int
    channels: int
    classes: int
    address: str
    licence: str
    citation: str
    remarks: str = ""


_DIGITS = Source(
    name="digits",
    title="Optical Recognition of Handwritten Digits, test part (scikit-learn)",
    module="pipeline.datasets.digits",
    image_size=8,
    channels=1,
    classes=10,
    address="https://doi.org/10.24432/C50P49",
    licence="CC BY 4.0",
    citation=(
        "E. Alpaydin and C. Kaynak (1998). Optical Recognition of Handwritten Digits. "
        "UCI Machine Learning Repository. https://doi.org/10.24432/C50P49"
    ),
    remarks=(
        "13 people wrote these digits, and who wrote which is not recorded, so each of them is "
        "in every split: the test says nothing about the hand of a new writer."
    ),
)

_MNIST = Source(
    name="mnist",
    title="MNIST handwritten digits",
    module="pipeline.datasets.mnist",
    image_size=28,
    channels=1,
    classes=10,
    address="https://doi.org/10.1109/5.726791",
    licence="CC BY-SA 3.0",
    citation=(
        "Y. LeCun, L. Bottou, Y. Bengio and P. Haffner (1998). Gradient-based learning applied to "
        "document recognition. Proceedings of the IEEE 86(11), 2278-2324. "
        "https://doi.org/10.1109/5.726791"
    ),
    remarks="The published test part is the test; validation is drawn from the training part.",
)

_ROTATED_MNIST = replace(
    _MNIST,
    name="rotated-mnist",
    title="Rotated MNIST, generated from MNIST",
    module="pipeline.datasets.rotated_mnist",
    citation=(
        f"{_MNIST.citation}; protocol: H. Larochelle, D. Erhan, A. Courville, J. Bergstra and "
        "Y. Bengio (2007). An empirical evaluation of deep architectures on problems with many "
        "factors of variation. ICML 2007. https://doi.org/10.1145/1273496.1273556"
    ),
    remarks=(
        "Generated here by the protocol of Larochelle et al.: 10,000 training, 2,000 validation "
        "and 50,000 test images drawn from all of MNIST, each turned by its own uniform angle, "
        "with a fixed seed. It is not their archive (mnist-rot), and accuracies on the two are "
        "close but not the same. Images in `test` are turned already; `test_turned` turns the "
        "same upright images by other angles."
    ),
)

SOURCES: dict[str, Source] = {source.name: source for source in (_DIGITS, _MNIST, _ROTATED_MNIST)}
