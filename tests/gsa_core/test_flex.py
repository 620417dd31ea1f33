"""FlexAttention: its masks and lookups as plain functions, and what is made of them.

A CPU computes with every score in memory; the operator itself, whose backward pass torch refuses
there, runs without compilation. Blocks are of 8 tokens here, so that small images have several.
"""

from __future__ import annotations

import copy
import inspect
import itertools
import pickle

import pytest
import torch
from cases import randomised, sized
from torch.nn.attention import flex_attention as of_torch
from torch.nn.attention.flex_attention import BlockMask

from gsa_core import GroupSelfAttention, LiftingSelfAttention, point_group
from gsa_core.attention.backends import flex, flex_scores
from gsa_core.attention.backends.registry import BACKENDS, Backend
from gsa_core.attention.encodings.tables import PositionalScores
from gsa_core.attention.neighbourhood import Tiling

FORMS = ("lifting", "joint", "framewise", "published")
GROUPS = ("C1", "C2", "C4", "D1", "D2", "D4", "C8")
ENCODINGS = {
    "none": {"positional": "none"},
    "absolute": {"positional": "absolute"},
    "relative": {"positional": "relative"},
    "continuous": {"positional": "relative", "encoding": "continuous"},
    "radial": {"positional": "radial"},
    "rotary": {"positional": "rotary"},
    "published": {"positional": "relative", "encoding": "published", "head_dim": 4},
}
WINDOWS = {
    "global": {},
    "square": {"window": 3, "window_shape": "square"},
    "disc": {"window": 5, "window_shape": "disc"},
    "soft disc": {"window": 5, "window_shape": "soft_disc"},
    "square that covers the image": {"window": 9, "window_shape": "square"},
    "soft disc beyond the image": {"window": 9, "window_shape": "soft_disc"},
}
SIZES = ((4, 5), (3, 6))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    for module in (flex, flex_scores):
        monkeypatch.setattr(module, "BLOCK", 8)
    monkeypatch.setattr(
        flex, "call_flex", inspect.unwrap(flex.call_flex)
    )  # without the checks of types
    flex.block_mask.cache_clear()
    yield
    flex.block_mask.cache_clear()


@pytest.fixture
def by_operator(monkeypatch):
    """The operator in place of every score in memory, traced as on a GPU, with gradients."""
    monkeypatch.setattr(of_torch, "_validate_device", lambda *x: None)
    ran = []

    def attended(query, key, value, change, seen, *, scale):
        ran.append(seen)
        mask = flex.block_mask(*seen, query.device, like=query)
        mask.mask_mod = inspect.unwrap(mask.mask_mod)
        options = {
            "score_mod": change and inspect.unwrap(change),
            "block_mask": mask,
            "scale": scale,
            "enable_gqa": query.shape[1] != key.shape[1],
        }
        return flex.compiled((len(ran),))(query, key, value, options)

    compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **x: compile(f, backend="aot_eager", **x))
    monkeypatch.setattr(flex, "attended", attended)
    flex.compiled.cache_clear()
    yield ran
    flex.compiled.cache_clear()


def layer(form, group, options, size=SIZES[0]):
    options = sized(options, size)
    if form == "lifting":
        return randomised(LiftingSelfAttention(point_group(group), 3, 4, 2, **options))
    return randomised(GroupSelfAttention(point_group(group), 3, 4, 2, form=form, **options))


def results(module, noise, size=SIZES[0]):
    frames = () if isinstance(module, LiftingSelfAttention) else (module.group.order,)
    x = noise(2, 3, *frames, *size).requires_grad_()
    out = module(x)
    wanted = [x, *module.parameters()]
    found = torch.autograd.grad(out.square().sum(), wanted, allow_unused=True)
    return out, *found


def agree(module, noise, tolerance=1e-12, size=SIZES[0]):
    """Values and gradients of ``flex`` and of every score written out."""
    state = noise.__closure__[0].cell_contents.get_state()
    found = []
    for method in ("written_out", "flex"):
        noise.__closure__[0].cell_contents.set_state(state)
        module.method = method
        found.append(results(module, noise, size))
    largest = max(x.norm() for x in found[0][1:] if x is not None)
    for i, (a, b) in enumerate(zip(*found, strict=True)):
        assert (a is None) == (b is None)
        if a is not None:
            assert (a - b).norm() <= tolerance * (a.norm() if i == 0 else largest)
            assert b.isfinite().all()


def grid():
    """Every form with every encoding, each in half of the windows; the groups in turn."""
    group = itertools.cycle(GROUPS)
    for i, form in enumerate(FORMS):
        for j, encoding in enumerate(ENCODINGS):
            for window in list(WINDOWS)[(i + j) % 2 :: 2]:
                chosen = next(group)
                large = form == "published" and chosen in ("D4", "C8")
                yield form, encoding, window, "D1" if large else chosen


@pytest.mark.sampled(35)
@pytest.mark.parametrize(("form", "encoding", "window", "group"), list(grid()))
def test_equals_every_score_written_out(form, encoding, window, group, noise):
    agree(layer(form, group, {**ENCODINGS[encoding], **WINDOWS[window]}), noise)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("form", FORMS)
def test_lookups_equal_every_score_written_out(form, window, noise, monkeypatch):
    """Of tables that are too wide to stand beside queries and keys."""
    monkeypatch.setattr(flex, "WIDEST_FACTORS", 0)
    agree(layer(form, "C4", {**ENCODINGS["relative"], **WINDOWS[window]}), noise)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("form", "encoding", "window", "widest"),
    [
        ("lifting", "relative", "square", 128),
        ("joint", "relative", "global", 0),
        ("joint", "radial", "disc", 128),
        ("framewise", "continuous", "global", 128),
        ("framewise", "rotary", "soft disc", 128),
        ("published", "published", "square", 0),
    ],
)
def test_operator_has_the_values_and_gradients(
    form, encoding, window, widest, by_operator, noise, monkeypatch
):
    monkeypatch.setattr(flex, "WIDEST_FACTORS", widest)
    agree(layer(form, "C2", {**ENCODINGS[encoding], **WINDOWS[window]}), noise)
    assert by_operator


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("window", WINDOWS)
def test_mask_is_the_neighbourhood(window, members, size):
    """Every pair of tokens; and the blocks hold all that is seen, the whole ones nothing else."""
    rows, cols = size
    options = (WINDOWS[window].get("window"), WINDOWS[window].get("window_shape", "square"))
    seen, length = flex_scores.mask_of(*size, *options), flex_scores.padded_length(rows * cols)
    tokens = torch.arange(length), torch.arange(members * length)
    found = seen(*tokens, tokens[0][:, None], tokens[1][None, :])
    found = found.expand(length, members * length)  # without a window all queries see the same
    for query, key in itertools.product(range(length), range(members * length)):
        here, there = divmod(min(query, rows * cols - 1), cols), divmod(key % length, cols)
        down, right = (abs(a - b) for a, b in zip(here, there, strict=True))
        inside = key % length < rows * cols
        if options[0] is not None:
            square = max(down, right) <= options[0] // 2
            disc = 4 * (down**2 + right**2) <= options[0] ** 2
            inside &= square if options[1] == "square" else disc
        assert found[query, key] == inside
    mask = flex.block_mask(*size, *options, members, torch.device("cpu"), like=torch.empty(0))
    partial, whole = blocks(mask, length, members)
    assert not (partial & whole).any()
    blocked = found.unflatten(0, (-1, 8)).unflatten(2, (-1, 8))
    assert torch.equal(blocked.any(3).any(1) & ~(partial | whole), torch.zeros_like(whole))
    assert blocked.all(3).all(1)[whole].all()
    if window == "square" and size == SIZES[0]:
        assert not (partial | whole).all()  # some are skipped


def blocks(mask: BlockMask, length: int, members: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Which blocks are seen in part, and which whole."""
    assert mask.seq_lengths == (length, members * length)
    found = []
    for count, index in (
        (mask.kv_num_blocks, mask.kv_indices),
        (mask.full_kv_num_blocks, mask.full_kv_indices),
    ):
        dense = torch.zeros(length // 8, members * length // 8, dtype=torch.bool)
        for query, n in enumerate(count[0, 0].tolist()):
            dense[query, index[0, 0, query, :n].long()] = True
        found.append(dense)
    return found[0], found[1]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("window", [None, 3, 5, 9])
def test_every_key_in_a_window_has_a_residue_of_its_own(window, size):
    """And the offset of that residue is the key's offset."""
    tiling = Tiling(*size, window)
    seen = (*size, window, "square", torch.device("cpu"))
    offsets = flex_scores.offsets_of_residues(*seen, like=torch.empty(0))
    moduli = flex_scores.residue_counts(tiling)
    for n, reach, modulus, table in zip(
        size, tiling.reaches, moduli, (offsets.rows, offsets.cols), strict=True
    ):
        for query in range(n):
            near = [key for key in range(n) if abs(key - query) <= reach]
            assert len({key % modulus for key in near}) == len(near)
            assert [int(table[query, key % modulus]) for key in near] == [x - query for x in near]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lookups_are_kept_in_32_bits(dtype):
    """Their gradients are sums over many keys."""
    table = torch.ones(1, 1, 1, 1, 4, 3, dtype=dtype)
    change = flex_scores.score_change(
        Tiling(2, 2, None), PositionalScores(rows=table), 8, 1.0, table
    )
    index = [torch.zeros((), dtype=torch.long)] * 4
    assert change(torch.zeros((), dtype=dtype), *index).dtype == torch.float32


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("window", ["global", "square", "soft disc"])
def test_half_precision_is_close(form, window, noise):
    module = layer(form, "C4", {**ENCODINGS["relative"], **WINDOWS[window]})
    frames = () if form == "lifting" else (4,)
    x = noise(2, 3, *frames, *SIZES[0])
    module.method = "written_out"
    expected = module(x)
    module.method = "flex"
    found = module.bfloat16()(x.bfloat16())
    assert found.dtype == torch.bfloat16
    assert (found - expected).norm() <= 0.05 * expected.norm()


def test_problem_is_raised_where_it_was_asked_for(monkeypatch):
    module = layer("joint", "C2", {"window": 3, "method": "flex"})
    monkeypatch.setitem(BACKENDS, "flex", Backend(flex.attention, lambda *x: "it has none"))
    with pytest.raises(ValueError, match="method: got 'flex'; it has none"):
        module(torch.zeros(1, 3, 2, 4, 4, dtype=torch.float64))


def test_code_of_every_shape_is_compiled_for_itself(monkeypatch):
    """Torch compiles the same code eight times, and refuses the next."""
    made = []
    monkeypatch.setattr(torch, "compile", lambda f, **options: made.append((f, options)) or f)
    flex.compiled.cache_clear()
    first, again, other = (flex.compiled((n,)) for n in (1, 1, 2))
    flex.compiled.cache_clear()
    assert first is again
    assert first.__code__ is not other.__code__
    assert [options for _, options in made] == [{"dynamic": False, "fullgraph": True}] * 2


def test_masks_are_kept_and_in_no_copy_of_a_layer():
    module = layer("joint", "C2", {"window": 3, "method": "flex"})
    before = len(pickle.dumps(module))
    module(torch.zeros(1, 3, 2, 4, 4, dtype=torch.float64))
    key = (4, 4, 3, "square", 2, torch.device("cpu"))
    assert flex.block_mask(*key, like=torch.empty(0)) is flex.block_mask(*key, like=torch.empty(0))
    assert len(pickle.dumps(copy.deepcopy(module))) == before


@pytest.mark.parametrize("method", ["flex"])
def test_no_images(method):
    module = layer("joint", "C4", {"window": 3, "method": method})
    x = torch.zeros(0, 3, 4, 5, 5, dtype=torch.float64, requires_grad=True)
    module(x).sum().backward()
    assert x.grad.shape == x.shape
