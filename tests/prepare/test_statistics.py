"""Statistics of pixels, computed while images are written."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from pipeline.dataset import pixel_statistics
from pipeline.dataset.pixel_statistics import PixelStatistics


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_moments_are_those_of_numpy(dtype: type) -> None:
    images = np.random.default_rng(0).uniform(0, 1, (5_000, 3, 2, 2)) ** 2
    images = (images * 255).astype(dtype) if dtype is np.uint8 else images.astype(dtype)
    whole = images.astype(np.float64) / (255 if dtype is np.uint8 else 1)
    labels = np.arange(5_000) % 7
    statistics = PixelStatistics(7, images.shape[1:], images.dtype, shown=7)
    for some in (slice(0, 1_000), slice(1_000, 5_000)):
        statistics.add(images[some], labels[some])
    mean, std = statistics.moments()
    assert mean == pytest.approx(whole.mean((0, 2, 3)), rel=1e-12)
    assert std == pytest.approx(whole.std((0, 2, 3)), rel=1e-12)
    assert (statistics.low, statistics.high) == (images.min(), images.max())
    for label in range(7):
        expected = whole[labels == label].mean(0)
        np.testing.assert_allclose(statistics.class_means()[label], expected, rtol=1e-6)


@pytest.mark.parametrize("size", [32, 64])
def test_memory_does_not_grow_with_classes_times_pixels(size: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (400, 1, size, size), dtype=np.uint8)
    tracemalloc.start()
    try:
        found = [PixelStatistics(400, images.shape[1:], images.dtype, n) for n in (20, 0, 0)]
        for statistics in found:
            statistics.add(images, np.arange(400))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Sums of 20 classes and of the others, and a few copies of the batch.
    assert most < 8 * 24 * size * size + 5 * images.nbytes
    np.testing.assert_allclose(found[0].class_means(), images[:20] / np.float32(255), rtol=1e-6)
    assert found[0].moments() == found[1].moments()


@pytest.mark.parametrize(("shown", "bytes_", "rows"), [(20, 1 << 30, 20), (20, 3 * 8 * 64, 3)])
def test_few_means_are_kept_of_large_images(
    shown: int, bytes_: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixel_statistics, "MOST_BYTES", bytes_)
    statistics = PixelStatistics(30, (1, 8, 8), np.dtype(np.uint8), shown)
    statistics.add(np.full((30, 1, 8, 8), 51, np.uint8), np.arange(30))
    assert statistics.class_means().shape[0] == rows and statistics.moments() == ([0.2], [0])
