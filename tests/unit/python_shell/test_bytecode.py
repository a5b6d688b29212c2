"""Byte code: all that this Python compiles is accepted, and hardly anything else."""

import argparse
import asyncio.base_events
import dataclasses
import dis
import inspect
import json.decoder
import subprocess
from collections.abc import Iterator
from types import CodeType, ModuleType

import pytest

from gristmill.python_shell.bytecode import may_be_ours


def codes(module: ModuleType) -> Iterator[CodeType]:
    """All code objects of a module's file, its own first."""
    todo = [compile(inspect.getsource(module), "<module>", "exec")]
    while todo:
        code = todo.pop()
        yield code
        todo += [each for each in code.co_consts if isinstance(each, CodeType)]


def accepted(words: bytes, flags: int = inspect.CO_OPTIMIZED, name: str = "f") -> bool:
    return may_be_ours(words, flags, name)


@pytest.mark.parametrize("module", [argparse, asyncio.base_events, dataclasses, json.decoder, subprocess])
def test_what_this_python_compiles_is_accepted(module: ModuleType) -> None:
    for code in codes(module):
        assert may_be_ours(code.co_code, code.co_flags, code.co_name), code.co_qualname


def test_a_lambda_that_yields_is_accepted() -> None:
    generates = (lambda: (yield)).__code__
    assert may_be_ours(generates.co_code, generates.co_flags, "<lambda>")


def test_functions_whose_caches_are_of_another_length_are_refused() -> None:
    calls = (lambda x: len(x) + 1).__code__.co_code
    assert accepted(calls)
    cache = calls.index(b"\0\0", 4)
    assert not accepted(calls[:cache] + calls[cache + 2 :])
    assert not accepted(calls[: cache + 2])
    assert not accepted(calls[:cache] + b"\0\0" + calls[cache:])


def test_instructions_that_do_not_exist_are_refused() -> None:
    plain = (lambda x: x).__code__.co_code
    unknown = next(number for number in range(255, 0, -1) if number not in dis.opmap.values())
    assert accepted(plain)
    assert not accepted(plain[:-2] + bytes([unknown, 0]))
    assert not accepted(plain[:-1])


def test_a_function_without_the_first_instruction_of_all_is_refused() -> None:
    plain = (lambda x: x).__code__.co_code
    assert not accepted(plain[2:])


@pytest.mark.skipif("CALL_INTRINSIC_1" not in dis.opmap, reason="generators end so from Python 3.12 on")
def test_a_generator_without_its_end_is_refused() -> None:
    assert not accepted((lambda x: x).__code__.co_code, inspect.CO_GENERATOR)
