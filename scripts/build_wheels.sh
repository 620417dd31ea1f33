#!/usr/bin/env bash
# The wheels of a release, in dist/: a pure one, and one for Linux on x86-64 with the kernel built.
# Needs the package `build`, torch (for the tests of the kernel) and a C++ compiler; in a container
# of manylinux_2_28 the wheel runs wherever there is that C library or a later one.
set -euo pipefail
cd "$(dirname "$0")/.."
prebuilt=gsa_core/attention/backends/prebuilt
trap 'rm -rf "$prebuilt" build' EXIT
rm -rf dist build "$prebuilt"

python -m build --wheel
rm -rf build
python - <<'CODE'
from gsa_core.attention.backends.build_kernel import prebuild
from gsa_core.attention.backends.kernel_calls import SOURCE

for scalar in (("SCALAR=float", "IS_FLOAT"), ("SCALAR=double",)):
    print("built", prebuild(SOURCE, *scalar, "HEAD_DIM=0"))
CODE
python -m build --wheel -C--build-option=bdist_wheel \
    -C--build-option=--plat-name="${PLATFORM:-manylinux_2_28_x86_64}"
ls -l dist
