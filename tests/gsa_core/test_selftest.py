"""A library that computes something else, or has other structures, is not used."""

from __future__ import annotations

import ctypes
import subprocess

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from gsa_core.attention.backends import compiler, kernel_calls, kernel_structures, selftest
from gsa_core.attention.backends.kernel_structures import PROBLEMS, Rotation, call, layout_problem

FUNCTIONS = ("attention_forward", "attention_backward", "rotation_forward", "rotation_backward")


@pytest.fixture
def library(built_kernel):
    return ctypes.CDLL(str(built_kernel))


def problem_of(library) -> str:
    return selftest.library_problem(library, number=ctypes.c_double, head_dim=5)


class Wrong(ctypes.CDLL):
    """The library with one function that is given another problem, or does nothing."""

    def __init__(self, library, function, change=None):
        super().__init__(library._name)
        self.function, self.change = function, change

    def __getitem__(self, name):
        real = super().__getitem__(name)

        def wrong(reference):
            if self.change is None:
                return 0
            self.change(reference._obj)
            return real(reference)

        return wrong if name == self.function else real


def swap(first, second):
    def change(problem):
        values = getattr(problem, first), getattr(problem, second)
        setattr(problem, second, values[0])
        setattr(problem, first, values[1])

    return change


def put(name, value):
    return lambda problem: setattr(problem, name, value)


def skip_an_image(problem):
    problem.batch -= 1


WRONG = [
    ("attention_forward", put("scale", 0.3 * (1 + 1e-9))),
    ("attention_forward", put("frame_table", None)),
    ("attention_forward", put("pair_table", None)),
    ("attention_forward", put("row_table", None)),
    ("attention_forward", put("col_table", None)),
    ("attention_forward", swap("query", "key")),
    ("attention_forward", skip_an_image),
    ("attention_backward", swap("query_grad", "key_grad")),
    ("attention_backward", swap("key_grad", "value_grad")),
    ("attention_backward", put("frame_table", None)),
    ("attention_backward", skip_an_image),
    ("rotation_forward", swap("cos", "sin")),
    ("rotation_forward", skip_an_image),
    ("rotation_backward", swap("cos", "sin")),
    ("rotation_backward", skip_an_image),
]


@pytest.mark.parametrize(("function", "change"), WRONG)
def test_wrong_arithmetic_is_found(function, change, library):
    assert problem_of(library) == ""
    problem = problem_of(Wrong(library, function, change))
    assert problem.startswith("the kernel failed its self-test")
    assert ("rotation" in problem) == ("rotation" in function)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_that_computes_nothing_is_found(function, library, monkeypatch):
    monkeypatch.setattr(np, "empty", lambda shape, kind: np.full(shape, np.nan, kind))
    assert problem_of(library) == ""
    assert "self-test" in problem_of(Wrong(library, function))


def test_library_that_fails_its_test_is_not_used(machine, forward, monkeypatch):
    monkeypatch.setattr(selftest, "_turned", lambda tokens, angles: tokens)
    problem, warnings = forward()
    assert problem.startswith("the kernel failed its self-test (rotation)")
    assert warnings == [f"no kernel, torch is used instead: {problem}"]
    assert len(machine.builds) == 1


def longer(structure):
    return type("Longer", (structure,), {"_fields_": [("more", ctypes.c_int64)]})


@pytest.mark.parametrize("changed", ["Problem", "Rotation", "number"])
def test_structures_are_those_of_the_sources(changed, library, machine, forward, monkeypatch):
    assert layout_problem(library, ctypes.c_double) == ""
    number = ctypes.c_float if changed == "number" else ctypes.c_double
    if changed == "Problem":
        problem = longer(PROBLEMS[ctypes.c_double])
        monkeypatch.setitem(kernel_structures.PROBLEMS, ctypes.c_double, problem)
    if changed == "Rotation":
        monkeypatch.setattr(kernel_structures, "Rotation", longer(Rotation))
    assert layout_problem(library, number).startswith("the kernel's structures have [")
    if changed != "number":
        problem, warnings = forward()
        assert problem.startswith("the kernel's structures have [")
        assert len(warnings) == 1


SURROUNDINGS = {
    "fake tensors": FakeTensorMode,
    "a default device": lambda: torch.device("meta"),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "16 bits": lambda: torch.autocast("cpu", torch.bfloat16),
    "errors of numpy": lambda: np.errstate(all="raise"),
}


@pytest.mark.parametrize("name", [*SURROUNDINGS, "a transformed function"])
def test_kernel_may_be_loaded_first_in_any_surroundings(name, machine):
    found = []
    if name in SURROUNDINGS:
        with SURROUNDINGS[name]():
            found.append(kernel_calls.library_of(torch.float64, 2))
    else:
        torch.func.grad(lambda x: (found.append(kernel_calls.library_of(torch.float64, 2)), x)[1])(
            torch.ones(())
        )
    assert isinstance(found[0], ctypes.CDLL)


@pytest.mark.parametrize(
    ("status", "error"), [(1, MemoryError), (2, RuntimeError), (-1, RuntimeError)]
)
def test_status_of_the_library_is_an_error(status, error):
    library = ctypes.CDLL(None)
    library.attention_forward = lambda problem: status
    with pytest.raises(error, match="attention_forward: "):
        call(library, "attention_forward", Rotation())
    library.attention_forward = lambda problem: 0
    call(library, "attention_forward", Rotation())


# A process in which threads, or the memory for them, can be had only so often.
PROGRAM = """
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <pthread.h>
#include "lanes.h"

static long memory = 1000, threads = 1000;

void* operator new(size_t size) {
    if (memory-- <= 0) throw std::bad_alloc();
    return std::malloc(size);
}
void operator delete(void* at) noexcept { std::free(at); }
void operator delete(void* at, size_t) noexcept { std::free(at); }

typedef int Create(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* how, void* (*run)(void*),
                              void* with) {
    if (threads-- <= 0) return EAGAIN;
    return reinterpret_cast<Create*>(dlsym(RTLD_NEXT, "pthread_create"))(thread, how, run, with);
}

int main(int, char** given) {
    std::atomic<Int> done{0};
    const int what = std::atoi(given[3]);
    memory = std::atol(given[1]), threads = std::atol(given[2]);
    const int status = spread(100, 8, [&] {
        if (what == 1) throw std::bad_alloc();
        return [&](Int at) {
            if (what == 2 && at == 50) throw 7;
            if (what == 3) std::vector<T>().resize(size_t(-1));
            ++done;
        };
    });
    memory = 1000;
    std::printf("%d %d\\n", status, int(done));
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A small program around the kernel's threads, in a second."""
    folder = tmp_path_factory.mktemp("threads")
    (folder / "program.cpp").write_text(PROGRAM)
    subprocess.run(
        [*compiler.compiler_command(), "-std=c++17", "-O0", "-w", "-DSCALAR=float", "-DHEAD_DIM=0",
         f"-I{kernel_calls.SOURCE.parent}", "-pthread", "-o", "program", "program.cpp", "-ldl"],
        cwd=folder, check=True,
    )  # fmt: skip
    return folder / "program"


@pytest.mark.parametrize(
    ("memory", "threads", "what", "printed"),
    [(1000, 1000, 0, "0 100"), (1000, 0, 0, "0 100"), (1000, 3, 0, "0 100")]
    + [(memory, 1000, 0, "0 100") for memory in range(8)]
    + [(1000, 1000, 1, "1 0"), (1000, 1000, 3, "1 0"), (1000, 0, 2, "2 50")],
)
def test_threads_end_whatever_is_lacking(memory, threads, what, printed, program):
    command = [program, *map(str, (memory, threads, what))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, printed)
