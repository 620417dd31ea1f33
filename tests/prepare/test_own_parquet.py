"""Your own Parquet files of images, in the layout of the Hugging Face hub."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from images import own, picture, prepared, refusal
from PIL import Image

from pipeline.dataset.store import SPLITS


def table(count: int, first: int = 0, **columns: list[Any]) -> pa.Table:
    images = []
    for seed in range(first, first + count):
        buffer = io.BytesIO()
        Image.fromarray(picture(seed)).save(buffer, "PNG")
        images.append({"bytes": buffer.getvalue(), "path": f"{seed}.png"})
    feature = {"names": ["tumour", "normal"], "_type": "ClassLabel"}
    metadata = json.dumps({"info": {"features": {"label": feature}}})
    given = {"image": images, "label": [seed % 2 for seed in range(count)], **columns}
    return pa.table(given).replace_schema_metadata({"huggingface": metadata})


def test_parquet_in_the_layout_of_the_hub(tmp_path: Path) -> None:
    (tmp_path / "set/data").mkdir(parents=True)
    for number, (name, first) in enumerate(
        [("train-00000-of-00002", 0), ("train-00001-of-00002", 30), ("test-00000-of-00001", 60)]
    ):
        path = tmp_path / f"set/data/{name}.parquet"
        pq.write_table(table(30, first), path, row_group_size=7 + number)
    data = prepared(own(tmp_path / "set", "parquet", splits="given"), tmp_path)
    assert len(data.test) == 30 and len(data.train) + len(data.validation) == 60
    assert data.card["class_names"] == ["0000 tumour", "0001 normal"]
    expected = np.asarray(Image.fromarray(picture(62)).resize((8, 8), Image.Resampling.BILINEAR))
    # Pillow rounds between its two passes: a grey level at most.
    found = np.asarray(data.test.images[2], dtype=int).transpose(1, 2, 0)
    assert np.abs(found - expected).max() <= 1
    made = prepared(own(tmp_path / "set", "parquet"), tmp_path / "made")
    assert sum(len(getattr(made, name)) for name in SPLITS[:3]) == 90


def test_parquet_groups_and_missing_images(tmp_path: Path) -> None:
    rows = table(60, patient=[f"p{row // 5}" for row in range(60)])
    column = rows.column("image").to_pylist()
    column[3] = {"bytes": None, "path": "3.png"}
    rows = rows.set_column(0, "image", pa.array(column))
    pq.write_table(rows, tmp_path / "a.parquet")
    settings = own(tmp_path / "a.parquet", "parquet", group_column="patient")
    assert "a.parquet, row 3: is missing" in refusal(settings, tmp_path)
    skipping = own(tmp_path / "a.parquet", "parquet", group_column="patient", on_bad_image="skip")
    assert prepared(skipping, tmp_path).card["skipped"]["count"] == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image_column": "img"}, "has no column 'img': set image_column to one of image, label"),
        ({"label_column": "fine"}, "'fine': set label_column to one of image, label"),
        ({"group_column": "of"}, "'of': set group_column to one of image, label"),
        ({"image_column": "label"}, "the column 'label' holds int64, not encoded images"),
        ({"label_column": "image"}, "the column 'image' holds struct"),
        ({"splits": "given"}, "splits: given needs names that start with train"),
    ],
)
def test_parquet_that_is_wrong(options: dict[str, str], words: str, tmp_path: Path) -> None:
    pq.write_table(table(20), tmp_path / "a.parquet")
    assert words in refusal(own(tmp_path / "a.parquet", "parquet", **options), tmp_path)


def test_parquet_that_is_damaged(tmp_path: Path) -> None:
    pq.write_table(table(20), tmp_path / "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(data[:-30])
    assert "is no Parquet file" in refusal(own(tmp_path / "a.parquet", "parquet"), tmp_path)
    pq.write_table(table(20, label=[None, *[0, 1] * 9, 0]), tmp_path / "a.parquet")
    assert "row 0 has no label" in refusal(own(tmp_path / "a.parquet", "parquet"), tmp_path)
