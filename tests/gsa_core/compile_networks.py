"""Compile and export networks of `test_running` by name; run in a process of its own.

The shapes that gsa_core states are not checked there: compilers cannot look into the checker, and
tracing it takes longer than tracing the network.
"""

from __future__ import annotations

import io
import sys

import torch
from running_cases import network


def close(one, other, batches):
    """Whether two networks agree on every batch."""
    return all(torch.allclose(one(x), other(x), rtol=1e-4, atol=1e-5) for x in batches)


def compiled(model, images):
    """Count the graphs that the network compiles to, and compare it with itself."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()
    other = torch.compile(model, backend=backend, fullgraph=True)
    same = close(other, model, (images, images + 1))
    return len(graphs), same


def exported(model, images):
    """Compare the network, exported for batches of any size, written and read, with itself."""
    batch, file = torch.export.Dim("batch", min=1, max=64), io.BytesIO()
    program = torch.export.export(model, (images,), dynamic_shapes=({0: batch},))
    torch.export.save(program, file)
    file.seek(0)
    other = torch.export.load(file).module()
    return close(other, model, (images, images[:2], torch.cat([images, images])))


def main() -> None:
    """Print how many graphs each took, and whether what was made of it is the same network."""
    torch.set_num_threads(1)
    for name in sys.argv[1:]:
        model, images = network(name, shallow=True)
        model.eval()
        print(name, *compiled(model, images), exported(model, images), sep="; ", flush=True)


if __name__ == "__main__":
    main()
