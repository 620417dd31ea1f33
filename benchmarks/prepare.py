"""How fast a folder of JPEGs is prepared, and how much memory PatchCamelyon takes.

``python benchmarks/prepare.py jpegs`` compares the whole preparation of a folder (splits, hashes,
turned test, card, verification) with a plain loop of Pillow that decodes, resizes and saves, each
in a process of its own, in alternating rounds, by the ratio of medians.
``python benchmarks/prepare.py memory --scale 1`` generates files of the size and format of
PatchCamelyon (9 GB unpacked, 28 GB in all on the way) and reports the greatest memory of the
process that prepares them; ``--scale 8`` an eighth of it.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

from pipeline.prepare.reading import cores
from pipeline.prepare.sources import patch_camelyon
from pipeline.study.schema import OwnSource, Prepare

# Height and width of the photographs, size of the prepared images, how many, in how many classes.
CASES = {
    "640x480 to 64": ((480, 640), 64, 4_000, 2),
    "128x128 to 96": ((128, 128), 96, 20_000, 2),
    "72x60 to 48": ((60, 72), 48, 30_000, 121),
}

PREPARES = """
import sys
from pathlib import Path
from pipeline.study.schema import Prepare
from pipeline.prepare.stage import prepare_all

scratch = Path(sys.argv[1])
settings = Prepare.model_validate_json((scratch / "settings.json").read_text())
prepare_all(settings, scratch / "prepare")
"""

CHILD = """
import sys
from pathlib import Path
from dataclasses import replace
from pipeline.prepare.sources import patch_camelyon as source
from pipeline.study.schema import Prepare
from pipeline.prepare.stage import prepare_all

folder, scale = Path(sys.argv[1]), int(sys.argv[2])
source.SIZES = {name: count // scale for name, count in source.SIZES.items()}
source.FILES = tuple(
    replace(file, checksum=(folder / "sums" / file.name).read_text()) for file in source.FILES
)
settings = Prepare(
    datasets=("patch-camelyon",), seed=0, validation_fraction=0.1, test_fraction=0.1,
    allow_leaks=True,
)
prepare_all(settings, folder / "prepare")
"""


def photographs(folder: Path, count: int, shape: tuple[int, int], classes: int) -> None:
    """Write JPEGs with detail at every scale, as many of each class, every one different."""
    random = np.random.default_rng(0)
    side = max(shape) + 256
    canvas = np.zeros((side, side, 3), dtype=np.float32)
    for cells in (side // 128, side // 32, side // 8):
        coarse = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        canvas += np.asarray(coarse.resize((side, side), Image.Resampling.BILINEAR)) / 3
    pixels = canvas.astype(np.uint8)
    for number in range(count):
        path = folder / f"{number % classes:03}" / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        top, left = divmod(number, 256)
        crop = pixels[top : top + shape[0], left : left + shape[1]]
        Image.fromarray(crop).save(path, quality=90)


def plain_loop(folder: Path, size: int, output: Path) -> None:
    """What one writes without thinking: open, convert, resize, stack, save."""
    images = [
        np.asarray(Image.open(path).convert("RGB").resize((size, size), Image.Resampling.BILINEAR))
        for path in sorted(folder.rglob("*.jpg"))
    ]
    np.save(output, np.stack(images).transpose(0, 3, 1, 2))


def compare(scratch: Path, share: float, rounds: int) -> None:
    """Print the time of both ways on the wall, and the processor time of all cores together."""
    print(
        "| case | images | prepare, s (CPU s, MiB) | plain loop, s (CPU s, MiB) | ratio (range), "
        "CPU s |\n|---|---|---|---|---|"
    )
    for name, (shape, size, most, classes) in CASES.items():
        folder, count = scratch / name, max(int(most * share), 10 * classes)
        photographs(folder, count, shape, classes)
        own = OwnSource(kind="folder", path=str(folder), size=size, fit="resize", channels=3)
        settings = Prepare(
            datasets=("mine",), seed=0, validation_fraction=0.1, test_fraction=0.1,
            sources={"mine": own},
        )  # fmt: skip
        (scratch / "settings.json").write_text(settings.model_dump_json())
        took = {"ours": [], "plain": []}
        for _ in range(rounds):
            took["ours"].append(timed([sys.executable, "-c", PREPARES, str(scratch)]))
            command = ["plain", "--folder", str(folder), "--size", str(size)]
            took["plain"].append(timed([sys.executable, __file__, *command]))
        wall, cpu, memory = (
            {way: statistics.median(runs[kind] for runs in each) for way, each in took.items()}
            for kind in (0, 1, 2)
        )
        ratios = [b[0] / a[0] for a, b in zip(took["ours"], took["plain"], strict=True)]
        ours, plain = (
            f"{wall[way]:.1f} ({cpu[way]:.1f}, {memory[way]:.0f})" for way in ("ours", "plain")
        )
        print(
            f"| {name} | {count:,} | {ours} | {plain} | {wall['plain'] / wall['ours']:.1f} "
            f"({min(ratios):.1f} to {max(ratios):.1f}), {cpu['plain'] / cpu['ours']:.2f} |",
            flush=True,
        )


def timed(command: list[str]) -> tuple[float, float, float]:
    """Run a command; return its seconds, those of all cores together, and the most MiB held."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    took = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[1]}: exit code {process.returncode}")
    return took, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def camelyon(folder: Path, scale: int) -> None:
    """Write files of PatchCamelyon's format, every patch different, and their checksums."""
    raw, sums = folder / "patch-camelyon", folder / "sums"
    raw.mkdir()
    sums.mkdir()
    random = np.random.default_rng(0)
    # Coarse squares, so that the packed files are small; what is unpacked is of the true size.
    coarse = random.integers(0, 256, (512, 12, 12, 3), dtype=np.uint8)
    base = coarse.repeat(8, axis=1).repeat(8, axis=2)
    for part, count in patch_camelyon.SIZES.items():
        count //= scale
        word = {"validation": "valid"}.get(part, part)
        for letter, shape in (("x", (96, 96, 3)), ("y", (1, 1, 1))):
            path = folder / "plain.h5"
            with h5py.File(path, "w") as file:
                data = file.create_dataset(letter, (count, *shape), np.uint8, chunks=(64, *shape))
                for start in range(0, count, 512):
                    stop = min(start + 512, count)
                    if letter == "y":
                        data[start:stop] = (np.arange(start, stop) % 2).reshape(-1, 1, 1, 1)
                        continue
                    batch = base[: stop - start].copy()
                    batch[:, 0, :4, 0] = (
                        np.arange(start, stop, dtype="<u4").view(np.uint8).reshape(-1, 4)
                    )
                    batch[:, 0, 4, 0] = len(word)
                    data[start:stop] = batch
            name = f"camelyonpatch_level_2_split_{word}_{letter}.h5.gz"
            with open(path, "rb") as plain, gzip.open(raw / name, "wb", compresslevel=1) as packed:
                shutil.copyfileobj(plain, packed, 1 << 22)
            path.unlink()
            with open(raw / name, "rb") as packed_file:
                (sums / name).write_text(hashlib.file_digest(packed_file, "md5").hexdigest())


def memory(scratch: Path, scale: int) -> None:
    """Prepare the generated files in a process of its own and print the most it held."""
    camelyon(scratch, scale)
    print(
        f"generated {sum(f.stat().st_size for f in scratch.rglob('*.gz')) / 1e9:.1f} GB", flush=True
    )
    environment = {**os.environ, "GSA_DATA": str(scratch)}
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(scratch), str(scale)], env=environment
    )
    most = {"VmHWM": 0, "RssAnon": 0}
    while process.poll() is None:
        try:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        except OSError:
            break
        found = dict(line.split(":", 1) for line in lines if ":" in line)
        for key in most:
            if key in found:
                most[key] = max(most[key], int(found[key].split()[0]))
        time.sleep(0.05)
    process.wait()
    took = time.monotonic() - start
    images = sum(patch_camelyon.SIZES.values()) // scale
    print(
        f"{images:,} patches in {took:.0f} s ({images / took:,.0f} a second), exit code "
        f"{process.returncode}; most memory {most['VmHWM'] / 1024:,.0f} MiB resident, of which at "
        f"most {most['RssAnon'] / 1024:,.0f} MiB its own (the rest are pages of mapped files)"
    )


def main() -> None:
    """Run one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["jpegs", "plain", "memory"])
    parser.add_argument("--share", type=float, default=1, help="of the photographs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="of the plain loop")
    parser.add_argument("--size", type=int, help="of the plain loop")
    parser.add_argument("--scale", type=int, default=8, help="divides the size of PatchCamelyon")
    options = parser.parse_args()
    if options.what == "plain":
        plain_loop(options.folder, options.size, options.folder.with_suffix(".npy"))
        return
    print(f"{platform.machine()}, {cores()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory(prefix="prepare-") as scratch:
        if options.what == "jpegs":
            compare(Path(scratch), options.share, options.rounds)
        else:
            memory(Path(scratch), options.scale)


if __name__ == "__main__":
    main()
