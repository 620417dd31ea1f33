"""Compile every network of `test_running` into one graph; run by it in a process of its own.

The shapes that gsa_core states are not checked there: compilers cannot look into the checker.
"""

from __future__ import annotations

import torch
from running_cases import CONFIGURATIONS, network


def main() -> None:
    """Print how many graphs each took, and whether the compiled network is the same."""
    for name in CONFIGURATIONS:
        model, images = network(name)
        graphs = []

        def backend(graph, inputs, graphs=graphs):
            graphs.append(graph)
            return graph.forward

        torch.compiler.reset()
        compiled = torch.compile(model.eval(), backend=backend, fullgraph=True)
        same = all(
            torch.allclose(compiled(x), model(x), rtol=1e-4, atol=1e-5)
            for x in (images, images + 1)
        )
        print(name, len(graphs), same, sep="; ")


if __name__ == "__main__":
    main()
