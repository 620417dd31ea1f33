"""The study: prepared data, a sweep, confirmation with seeds, a report."""

# First of all, since it notes who started this process: who is killed during the other imports,
# which take seconds, would not be missed.
from pipeline.common import signals as signals
