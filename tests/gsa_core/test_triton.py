"""The kernels in Triton: on a GPU where there is one, else in Triton's interpreter.

The interpreter takes milliseconds for what a GPU computes in a microsecond: images are small, and
there is one of them.
"""

from __future__ import annotations

import itertools

import pytest
import torch
from cases import randomised, sized
from triton_interpreter import DEVICE, INSTALLED, MISSING, patched_once

from gsa_core import GroupSelfAttention, LiftingSelfAttention, act_on_features, point_group
from gsa_core.attention.backends.registry import BACKENDS
from gsa_core.attention.encodings.tables import OffsetTables
from gsa_core.attention.neighbourhood import Tiling

pytestmark = pytest.mark.skipif(not INSTALLED, reason=MISSING)
SEPARABLE = ("rows", "cols", "frames")
FORMS = {
    "lifting": {},
    "joint": {},
    "framewise": {},
    "published": {"encoding": "published", "head_dim": 3},
}


@pytest.fixture(autouse=True)
def interpreter():
    with patched_once():
        yield


def contract(noise, size, window, shape, terms, frames, width):
    """Inputs of the contract, and an attention of them by a method."""
    tiling, (group, own, *sets, members) = Tiling(*size, window, shape), frames
    query = noise(1, *size, group, own, 1, width)
    tokens = [noise(1, *size, count, members, 1, width) for count in sets]
    rows, cols = (2 * reach + 1 for reach in tiling.reaches)
    shapes = {"rows": (rows,), "cols": (cols,), "pairs": (rows, cols), "frames": (own, members)}
    tables = [noise(group, *shapes[term], 1, width) for term in terms]

    def attended(method, inputs):
        known = OffsetTables(**dict(zip(terms, inputs[3:], strict=True)))
        attention = BACKENDS[method].attention
        return attention(*inputs[:3], known, tiling, scale=0.4)

    return [query, *tokens, *tables], attended


def found(attended, method, inputs):
    inputs = [x.detach().to(DEVICE).requires_grad_() for x in inputs]
    out = attended(method, inputs)
    return [out, *torch.autograd.grad(out.float().square().sum(), inputs)]


def worst(got, expected):
    """Largest error of the result, and of gradients relative to the largest of them."""
    errors = [float((a - b).detach().abs().max()) for a, b in zip(got, expected, strict=True)]
    scale = max(float(x.abs().max()) for x in expected[1:])
    return max(errors[0] / float(expected[0].detach().abs().max()), max(errors[1:]) / scale)


# Size, window, its shape, tables; frames of queries (two axes), sets of keys and of values, frames
# of keys; channels.
CONTRACTS = [
    ((5, 7), 3, "square", SEPARABLE, (2, 1, 1, 1, 2), 3),
    ((8, 8), 5, "disc", ("rows", "cols"), (2, 1, 1, 2, 1), 8),
    ((12, 9), 5, "soft_disc", ("rows", "cols"), (1, 1, 1, 1, 1), 10),
    ((5, 7), None, "square", ("pairs",), (2, 1, 2, 1, 1), 3),
    ((5, 7), 3, "disc", ("pairs", "frames"), (1, 2, 1, 1, 2), 3),
    ((2, 70), None, "square", ("rows", "cols"), (1, 1, 1, 1, 1), 17),
]


@pytest.mark.parametrize("case", CONTRACTS, ids=str)
def test_values_and_gradients_equal_the_reference(case, noise):
    inputs, attended = contract(noise, *case)
    got, expected = (found(attended, method, inputs) for method in ("triton", "written_out"))
    assert worst(got, expected) <= 1e-10


def product():
    """Sizes, windows and terms; axes of frames and widths in turn."""
    frames = itertools.cycle([(2, 1, 1, 1, 2), (2, 2, 2, 2, 1), (2, 1, 1, 2, 2), (1, 2, 1, 1, 1)])
    width = itertools.cycle([3, 8, 10])
    windows = ((None, "square"), (3, "square"), (5, "square"), (3, "disc"), (5, "soft_disc"))
    for size, (window, shape), terms in itertools.product(
        ((5, 7), (8, 8), (12, 9)), windows, ((), SEPARABLE, ("pairs",))
    ):
        yield size, window, shape, terms, next(frames), next(width)


@pytest.mark.deep
@pytest.mark.parametrize("case", list(product()), ids=str)
def test_every_shape_equals_the_reference(case, noise):
    inputs, attended = contract(noise, *case)
    got, expected = (found(attended, method, inputs) for method in ("triton", "written_out"))
    assert worst(got, expected) <= 1e-10


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, 1e-5), (torch.bfloat16, 0.1), (torch.float16, 8e-3)],
)
def test_narrower_numbers_keep_their_precision(dtype, tolerance, noise):
    inputs, attended = contract(noise, *CONTRACTS[0])
    got = found(attended, "triton", [x.to(dtype) for x in inputs])
    assert {x.dtype for x in got} == {dtype}
    exact = found(attended, "written_out", [x.to(dtype).double() for x in inputs])
    assert worst([x.double() for x in got], exact) <= tolerance


def layer(form, group, **options):
    options = sized({**FORMS[form], **options}, (5, 7))
    if form == "lifting":
        return randomised(LiftingSelfAttention(point_group(group), 2, 3, 1, **options)).to(DEVICE)
    made = GroupSelfAttention(point_group(group), 2, 3, 1, form=form, **options)
    return randomised(made).to(DEVICE)


def features(module, noise, size=(5, 7), batch=1):
    frames = () if isinstance(module, LiftingSelfAttention) else (module.group.order,)
    return noise(batch, 2, *frames, *size).to(DEVICE)


def results(module, x, method, mask=None):
    module.method, x = method, x.detach().requires_grad_()
    out = module(x, mask)
    wanted = [x, *module.parameters()]
    grads = torch.autograd.grad(out.square().sum(), wanted, allow_unused=True)
    return [
        out,
        *(torch.zeros_like(x) if g is None else g for g, x in zip(grads, wanted, strict=True)),
    ]


def agree(module, x, tolerance=1e-10, mask=None):
    got, expected = (results(module, x, method, mask) for method in ("triton", "written_out"))
    largest = max(x.abs().max() for x in expected)
    assert max((a - b).abs().max() for a, b in zip(got, expected, strict=True)) <= (
        tolerance * largest
    )


LAYERS = [
    ("lifting", "D2", {"window": 3}),
    ("joint", "C4", {"window": 3}),
    ("joint", "C1", {"window": 5, "window_shape": "soft_disc"}),
    ("joint", "C2", {"positional": "rotary"}),
    ("framewise", "C4", {"positional": "rotary", "window": 3, "qk_norm": True}),
    ("framewise", "C8", {"window": 3}),
    ("published", "C2", {"window": 3}),
]


@pytest.mark.parametrize(("form", "group", "options"), LAYERS, ids=str)
def test_layers_equal_every_score_written_out(form, group, options, noise):
    module = layer(form, group, **options)
    agree(module, features(module, noise))


@pytest.mark.parametrize("name", ["C4", "D4"])
def test_a_layer_is_equivariant_under_every_element(name, noise, monkeypatch):
    """And one that knows of the trivial group alone is not."""
    group, module = point_group(name), layer("framewise", name, window=3, method="triton")
    x = features(module, noise, (5, 5))
    out = module(x)
    for h in range(group.order):
        moved = module(act_on_features(group, h, x))
        assert torch.allclose(moved, act_on_features(group, h, out), rtol=0, atol=1e-12)
    with torch.no_grad():  # rows and columns of a frame no longer turn with it
        encoded = module.relative
        tables = encoded(Tiling(5, 5, 3).reaches)
        same = [x[:1].expand_as(x) for x in (tables.rows, tables.cols)]
        monkeypatch.setattr(encoded, "forward", lambda reaches: OffsetTables(*same))
    moved = module(act_on_features(group, 1, x))
    assert (moved - act_on_features(group, 1, module(x))).abs().max() > 1e-2


@pytest.mark.parametrize("window", [15])
def test_a_window_larger_than_the_image_sees_all(window, noise):
    inputs, attended = contract(noise, (5, 7), window, "square", SEPARABLE[:2], 5 * (1,), 3)
    got, expected = (found(attended, method, inputs) for method in ("triton", "written_out"))
    assert worst(got, expected) <= 1e-10


@pytest.mark.parametrize("seen", ["some", "nothing"])
def test_masked_images(seen, noise):
    """Where a mask hides every key, the result is zero and gradients are finite."""
    module = layer("joint", "C2", window=3)
    mask = torch.zeros(1, 5, 7, dtype=torch.bool, device=DEVICE)
    if seen == "some":
        mask[:, 1:4, 2:] = True
    agree(module, features(module, noise), mask=mask)


def test_strides_are_taken_as_they_are(noise):
    inputs, attended = contract(noise, *CONTRACTS[0])
    expected = found(attended, "written_out", inputs)
    turned = [x.transpose(1, -1).contiguous().transpose(1, -1) for x in inputs[:3]]
    spread = [x.repeat_interleave(2, 2)[:, :, ::2] for x in inputs[:3]]
    for tokens in (turned, spread):
        assert not any(x.is_contiguous() for x in tokens)
        got = [x.to(DEVICE).requires_grad_() for x in tokens]
        out = attended("triton", [*got, *(x.to(DEVICE) for x in inputs[3:])])
        grads = torch.autograd.grad(out.float().square().sum(), got)
        assert worst([out, *grads], expected[:4]) <= 1e-10


def test_no_images():
    module = layer("joint", "C4", window=3, method="triton")
    x = torch.zeros(0, 2, 4, 5, 7, dtype=torch.float64, device=DEVICE, requires_grad=True)
    module(x).sum().backward()
    assert x.grad.shape == x.shape
    assert not any(p.grad.any() for p in module.parameters() if p.grad is not None)


def test_gradient_of_a_gradient_is_refused(noise):
    module = layer("framewise", "C1", window=3, method="triton")
    x = features(module, noise).requires_grad_()
    with pytest.raises(NotImplementedError, match="method: got 'triton'; it has no rule"):
        torch.autograd.grad(module(x).sum(), x, create_graph=True)


def test_transforms_are_refused(noise):
    module = layer("framewise", "C1", window=3, method="triton")
    with pytest.raises(ValueError, match="method: got 'triton'; it has no rule"):
        torch.func.jvp(module, *2 * [(features(module, noise),)])


def test_autocast_computes_in_16_bits(noise):
    module = layer("framewise", "C2", window=3).float()
    x = features(module, noise).float()
    module.method = "written_out"
    expected = module(x)
    module.method = "triton"
    with torch.autocast(DEVICE, torch.bfloat16):
        found = module(x.requires_grad_())
        inputs, attended = contract(noise, *CONTRACTS[0])
        inputs = [tokens.float().to(DEVICE) for tokens in inputs]
        assert attended("triton", inputs).dtype == torch.bfloat16
    found.float().sum().backward()
    assert x.grad.dtype == torch.float32
    assert (found - expected).norm() <= 0.05 * expected.norm()


def test_a_compiler_takes_it_as_one_operator(noise):
    module = layer("framewise", "C2", window=3, method="triton")
    x = features(module, noise).requires_grad_()
    expected = module(x)
    torch._dynamo.reset()
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    got = compiled(x)
    assert torch.allclose(got, expected, rtol=1e-12)
    grads = [torch.autograd.grad(out.square().sum(), x)[0] for out in (got, expected)]
    assert torch.allclose(*grads, rtol=1e-10, atol=1e-12)
