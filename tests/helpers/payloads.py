"""A hundred pieces of text that do harm where text is taken for code, and a study full of them."""

from __future__ import annotations

import itertools
import json

from synthetic import PROVENANCE, Row, Shape

SEEDS = (
    "<script>alert('pwned')</script>", "</script><script>alert(1)</script>",
    "<img src=http://example.org/x onerror=alert(1)>", "<svg onload=alert(1)>",
    "javascript:alert(1)", "\"><iframe src='javascript:alert(1)'>", "' onmouseover='alert(1)",
    "=cmd|' /C calc'!A0", "@SUM(1+1)", "+1+1", "-2+3", "\\input{/etc/passwd}", "\\write18{id}",
    "$\\frac{1}{0}$", "${jndi:ldap://x}", "{{7*7}}", "[a](javascript:alert(1))",
    "![a](http://x/y.png)", "`rm -rf`", "a | b\n| c", "\u202egnp.exe", "<!--", "-->", "]]>",
    "&lt;script&gt;", "%0a=cmd", "\t=1+1", "\uff1d1+1", "*[2ex]", "^^5cinput{x}",
    "<style>*{background:url(http://example.org)}</style>", "<base href=http://example.org/>",
)  # fmt: skip
WRAPPINGS = ("{}", " {}", "x{}", "{}\n{}")
PAYLOADS = [wrap.replace("{}", seed) for seed in SEEDS for wrap in WRAPPINGS]

# Names that stand on axes, in legends and in headings; every payload is a reason, a parameter, a
# commit or a package besides.
HOSTILE = Shape(
    datasets=(SEEDS[2],),
    groups=("C1", f"{SEEDS[28]}{SEEDS[3]}"),
    encodings=("absolute", f"{SEEDS[13]}{SEEDS[1]}"),
    depths=(1, 2),
    tokens=(SEEDS[11],),
    seeds=(101, 102),
    trials=len(PAYLOADS) // 5,
    epochs=2,
    failing=(f"gsa-C1-absolute-d1-{SEEDS[11]}",),
    provenance={**PROVENANCE, "git_commit": SEEDS[0], "branch": SEEDS[20],
                **dict(itertools.pairwise(PAYLOADS))},
)  # fmt: skip


def harm(tables: dict[str, list[Row]]) -> None:
    """Put every payload into the reason of a failure, and some into each configuration."""
    for place, row in enumerate([*tables["trials"], *tables["runs"]]):
        payload = PAYLOADS[place % len(PAYLOADS)]
        row["configuration"] = json.dumps({payload: PAYLOADS[-1 - place % len(PAYLOADS)]})
        row["device"] = payload
        if row["status"] == "failed" or place % 8:
            row["reason"] = f"Traceback (most recent call last):\n  {payload}\n{payload}"
        if place % 8 and "trial" in row and "weights" not in row:
            row |= {"status": "failed", "validation_accuracy": None}
    for place, row in enumerate(tables["mistakes"]):
        payload = PAYLOADS[place % len(PAYLOADS)]
        row |= {"label_name": payload, "predicted_name": payload[::-1], "group": payload}
