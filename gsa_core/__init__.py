"""Exactly equivariant self-attention over finite groups of the plane.

Layers and models that are equivariant by construction, and measures of equivariance for any module.
Imports torch, and nothing of the study.
"""

from gsa_core.attention.backends.kernel_calls import build_kernel
from gsa_core.attention.layers import GroupSelfAttention, LiftingSelfAttention
from gsa_core.check.measure import check_equivariance
from gsa_core.check.report import SymmetryReport
from gsa_core.cost import (
    count_activations,
    count_flops,
    count_parameters,
    solve_channels,
)
from gsa_core.equivariance import (
    assert_equivariant,
    equivariance_error,
    full_turn,
    invariance_error,
    layer_errors,
    prediction_consistency,
)
from gsa_core.groups import (
    PointGroup,
    act_on_features,
    act_on_image,
    cyclic_group,
    dihedral_group,
    point_group,
)
from gsa_core.interoperability import from_escnn_order, to_escnn_order
from gsa_core.models.build import build_model
from gsa_core.models.canonical import Canonical
from gsa_core.models.loading import load
from gsa_core.models.network import Model
from gsa_core.models.network_file import VERSION as __version__
from gsa_core.models.symmetrized import Symmetrized
from gsa_core.nn.block import Block, FeedForward
from gsa_core.nn.convolution import GroupConv2d, LiftingConv2d
from gsa_core.nn.embed import PatchEmbedding, Stem
from gsa_core.nn.linear import GroupLinear
from gsa_core.nn.norm import ChannelNorm
from gsa_core.nn.pool import GlobalPool, GroupPool, SymmetricMaxPool2d
from gsa_core.nn.soft import soften
from gsa_core.resample import rotate_image, shift_image

__all__ = [
    "Block",
    "Canonical",
    "ChannelNorm",
    "FeedForward",
    "GlobalPool",
    "GroupConv2d",
    "GroupLinear",
    "GroupPool",
    "GroupSelfAttention",
    "LiftingConv2d",
    "LiftingSelfAttention",
    "Model",
    "PatchEmbedding",
    "PointGroup",
    "Stem",
    "SymmetricMaxPool2d",
    "Symmetrized",
    "SymmetryReport",
    "__version__",
    "act_on_features",
    "act_on_image",
    "assert_equivariant",
    "build_kernel",
    "build_model",
    "check_equivariance",
    "count_activations",
    "count_flops",
    "count_parameters",
    "cyclic_group",
    "dihedral_group",
    "equivariance_error",
    "from_escnn_order",
    "full_turn",
    "invariance_error",
    "layer_errors",
    "load",
    "point_group",
    "prediction_consistency",
    "rotate_image",
    "shift_image",
    "soften",
    "solve_channels",
    "to_escnn_order",
]
