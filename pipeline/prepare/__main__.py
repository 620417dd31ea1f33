"""Turn raw sources into fixed, disjoint splits: data/prepare/."""

from pipeline.common.commands import run_as

ARGUMENTS = {
    "--look": {
        "action": "store_true",
        "help": "only show what is understood of own data, from a few hundred images",
    },
}

run_as("prepare")
