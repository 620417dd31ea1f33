#!/usr/bin/env bash
# The wheels of a release, in dist/: a pure one, and one for Linux on x86-64 with the kernel built.
# Needs the package `build`, torch (for the tests of the kernel) and a C++ compiler. The kernel runs
# with this machine's C library or a later one, as the wheel's name says (`manylinux_2_36` of glibc
# 2.36): build in a container of manylinux_2_28 to reach older systems.
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
platform=$(python -c 'import platform; print("manylinux_" + platform.libc_ver()[1].replace(".", "_"))')
python -m build --wheel -C--build-option=bdist_wheel \
    -C--build-option=--plat-name="${platform}_x86_64"
ls -l dist
