"""The study: prepared data, a sweep, confirmation with seeds, a report."""

import os

# This process and who started it, noted before the imports that take seconds: who is killed in
# these would else not be missed.
STARTED = (os.getpid(), os.getppid())
