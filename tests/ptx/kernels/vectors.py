"""Vectors, images and volumes: each thread by itself, or with its neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.case import BASICS, HERE, Arguments, Case, Expected, floats, poisoned


def adding(n: int, dtype: Any = np.float32) -> tuple[Any, Any]:
    def make(g: np.random.Generator) -> Arguments:
        return [floats(g, n).astype(dtype), floats(g, n).astype(dtype), poisoned(n, dtype), np.int32(n)]

    return make, lambda a: {2: a[0] + a[1]}


def basics(name: str, file: str, kernel: str, n: int, threads: int, dtype: Any = np.float32) -> Case:
    """A kernel of lesson 2, with blocks of 64 threads."""
    scalar = {np.float32: "float", np.float16: "__half"}[dtype]
    make, expected = adding(n, dtype)
    return Case(
        name,
        BASICS / "vector_add" / file,
        kernel,
        -(-threads // 64),
        64,
        make,
        expected,
        defines={"SCALAR": scalar},
    )


def coordinates() -> Case:
    rows, columns = 37, 50

    def expected(a: Arguments) -> Expected:
        return {0: 10000 * np.arange(rows)[:, None] + np.arange(columns)}

    make = lambda g: [poisoned((rows, columns), np.int32), np.int32(rows), np.int32(columns)]  # noqa: E731
    return Case(
        "coordinates", BASICS / "hello/coordinates.cu", "coordinates", (4, 5), (16, 8), make, expected
    )


def who_am_i() -> Case:
    n, block = 150, 48

    def expected(a: Arguments) -> Expected:
        i = np.arange(n)
        return {0: i // block, 1: i % block, 2: i % block // 32, 3: i % block % 32}

    make = lambda g: [*(poisoned(n, np.int32) for _ in range(4)), np.int32(n)]  # noqa: E731
    return Case("who_am_i", BASICS / "hello/who_am_i.cu", "who_am_i", 4, block, make, expected)


def hello() -> Case:
    lines = "".join(
        f"hello from thread {thread} of block {block}\n" for block in range(3) for thread in range(5)
    )
    return Case(
        "hello", BASICS / "hello/hello.cu", "hello", 3, 5, lambda g: [], lambda a: {}, printed=lambda a: lines
    )


def saxpy(n: int = 1001, blocks: int = 3) -> Case:
    name = "saxpy" if blocks == 3 else "saxpy, many blocks"

    def expected(a: Arguments) -> Expected:
        return {1: a[2] * a[0].astype(np.float64) + a[1]}

    make = lambda g: [floats(g, n), floats(g, n), np.float32(1.7), np.int32(n)]  # noqa: E731
    return Case(name, HERE / "saxpy.cu", "saxpy", blocks, 64, make, expected, 1e-6)


def stencil() -> Case:
    n, radius = 333, 3

    def expected(a: Arguments) -> Expected:
        return {1: np.convolve(a[0], np.ones(2 * radius + 1, np.int32))[radius : radius + n]}

    make = lambda g: [g.integers(-99, 99, n, np.int32), poisoned(n, np.int32), np.int32(n)]  # noqa: E731
    return Case("stencil", HERE / "stencil.cu", "stencil", 6, 64, make, expected)


def transpose(padding: int) -> Case:
    rows, columns = 45, 70
    make = lambda g: [floats(g, rows, columns), poisoned((columns, rows)), np.int32(rows), np.int32(columns)]  # noqa: E731
    return Case(
        f"transpose, padding {padding}",
        HERE / "transpose.cu",
        "transpose",
        (3, 2),
        (32, 8),
        make,
        lambda a: {1: a[0].T},
        defines={"PADDING": padding},
    )


def turn_round() -> Case:
    n, block = 150, 64

    def expected(a: Arguments) -> Expected:
        return {1: np.concatenate([a[0][first : first + block][::-1] for first in range(0, n, block)])}

    make = lambda g: [floats(g, n), poisoned(n), np.int32(n)]  # noqa: E731
    return Case(
        "turn_round",
        HERE / "dynamic_shared.cu",
        "turn_round",
        3,
        block,
        make,
        expected,
        shared_memory=4 * block,
    )


def volume() -> Case:
    width, height, depth = 21, 10, 5

    def expected(a: Arguments) -> Expected:
        z, y, x = np.mgrid[:depth, :height, :width]
        return {0: 10000 * z + 100 * y + x}

    make = lambda g: [poisoned((depth, height, width), np.int32), *map(np.int32, (width, height, depth))]  # noqa: E731
    return Case("volume", HERE / "volume.cu", "volume", (3, 3, 3), (8, 4, 2), make, expected)
