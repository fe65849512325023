"""Read a pickle as data: its opcodes are walked into plain values, nothing of it is called or imported.

`pickle.load` calls what a file names, and even an unpickler that only knows numpy lets the file say what memory is:
``dtype.__setstate__`` and ``ndarray.__setstate__`` are C code that trusts a pickle's state. Here a name in a pickle
stays a name. Numbers, text and containers are built as they are; an array is built from its bytes with a dtype out of
a fixed table, after its size has been compared with that of the bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from nwbpipe.foreign._pickle_values import (
    MARK,
    MAX_VALUES,
    DamagedPickleError,
    Finisher,
    ForbiddenPickleError,
    Name,
    Slot,
    build_value,
    check_key,
    make_array,
    set_dtype_state,
)

_MAX_INT_BYTES = 64


def read_pickle(data: bytes | memoryview) -> Any:
    """Return the value of a pickle.

    Parameters
    ----------
    data : bytes-like
        One pickle, of any protocol; what follows its end is ignored.

    Returns
    -------
    object
        None, bool, int, float, complex, str, bytes, list, tuple, dict, set, `datetime.datetime`, numpy arrays
        and scalars. Paths are given as text, an ``OrderedDict`` as a dict, classes of numpy dtypes by name.

    Raises
    ------
    ForbiddenPickleError
        If it names, calls or changes anything else, or holds too many values, too deep or in themselves.
    DamagedPickleError
        If it is no pickle, or truncated.

    Examples
    --------
    >>> import pickle
    >>> read_pickle(pickle.dumps({"fs": 30.0, "size": [1, 2]}))
    {'fs': 30.0, 'size': [1, 2]}
    """
    walker = _Walker(data)
    try:
        value = walker.walk()
    except (ForbiddenPickleError, DamagedPickleError):
        raise
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, struct.error, RecursionError) as error:
        raise DamagedPickleError(f"{type(error).__name__}: {error}") from error
    return Finisher(max(MAX_VALUES, 4 * len(data))).finish(value)


class _Walker:
    """The stack machine of pickle, on plain values."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data).cast("B")
        self._at = 0
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def walk(self) -> Any:
        """Run the opcodes to the end; return the value on top."""
        steps = self._STEPS
        while True:
            code = self._take(1)[0]
            if code == 0x2E:  # STOP
                return self._stack.pop()
            step = steps.get(code)
            if step is None:
                raise ForbiddenPickleError(f"it uses the opcode {bytes([code])!r}")
            step(self)

    # Bytes ----------------------------------------------------------------------------------------------

    def _take(self, count: int) -> memoryview:
        end = self._at + count
        if count < 0 or end > len(self._data):
            raise DamagedPickleError("it ends too early")
        part = self._data[self._at : end]
        self._at = end
        return part

    def _number(self, layout: str) -> Any:
        return struct.unpack(layout, self._take(struct.calcsize(layout)))[0]

    def _line(self) -> bytes:
        data = self._data[self._at : self._at + 4096].tobytes()
        end = data.find(b"\n")
        if end < 0:
            raise DamagedPickleError("a line has no end")
        self._at += end + 1
        return data[:end]

    def _counted(self, layout: str) -> memoryview:
        return self._take(self._number(layout))

    # The stack ------------------------------------------------------------------------------------------

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop_to_mark(self) -> list[Any]:
        stack = self._stack
        at = len(stack) - 1
        while at >= 0 and stack[at] is not MARK:
            at -= 1
        if at < 0:
            raise DamagedPickleError("there is no mark")
        items = stack[at + 1 :]
        del stack[at:]
        return items

    def _pop_many(self, count: int) -> tuple[Any, ...]:
        if len(self._stack) < count:
            raise DamagedPickleError("the stack is empty")
        items = tuple(self._stack[-count:])
        del self._stack[-count:]
        return items

    def _set_items(self, target: Any, items: list[Any]) -> None:
        if not isinstance(target, dict) or len(items) % 2:
            raise ForbiddenPickleError("it sets items of something that is not a dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[check_key(key)] = value

    def _extend(self, target: Any, items: Iterable[Any]) -> None:
        if not isinstance(target, list):
            raise ForbiddenPickleError("it appends to something that is not a list")
        target.extend(items)

    def _add(self, target: Any, items: list[Any]) -> None:
        if not isinstance(target, set):
            raise ForbiddenPickleError("it adds to something that is not a set")
        target.update(map(check_key, items))

    # Opcodes --------------------------------------------------------------------------------------------

    def _int_line(self) -> None:
        text = self._line()
        self._push(text == b"01" if text in (b"00", b"01") else int(text[:400]))  # protocol 0 writes truth so

    def _long_line(self) -> None:
        self._push(int(self._line().rstrip(b"L")[:400]))

    def _long(self, layout: str) -> None:
        size = self._number(layout)
        if not 0 <= size <= _MAX_INT_BYTES:
            raise ForbiddenPickleError(f"it holds an integer of {size} bytes")
        self._push(int.from_bytes(self._take(size), "little", signed=True))

    def _string_line(self) -> None:
        text = self._line()
        if len(text) < 2 or text[:1] not in b"'\"" or text[-1:] != text[:1]:
            raise DamagedPickleError("a string has no quotes")
        self._push(text[1:-1].decode("unicode_escape").encode("latin1").decode("latin1"))

    def _put(self, number: int) -> None:
        if number < 0:
            raise DamagedPickleError("a negative place in the memo")
        self._memo[number] = self._stack[-1]

    def _get(self, number: int) -> None:
        self._push(self._memo[number])

    def _stack_global(self) -> None:
        module, attribute = self._pop_many(2)
        if not isinstance(module, str) or not isinstance(attribute, str):
            raise DamagedPickleError("a name is not text")
        self._push(Name(module, attribute))

    def _global_line(self) -> None:
        module, attribute = self._line().decode(), self._line().decode()
        self._push(Name(module, attribute))

    def _reduce(self) -> None:
        called, arguments = self._pop_many(2)
        self._push(build_value(called, arguments))

    def _build(self) -> None:
        target, state = self._pop_many(2)
        self._push(target)
        if not isinstance(target, Slot) or not isinstance(state, tuple):
            raise ForbiddenPickleError("it changes the attributes of something that is not an array")
        if target.kind == "dtype":
            set_dtype_state(target, state)
        elif target.value is None:
            if len(state) != 5:
                raise ForbiddenPickleError("an array's state is of an unknown form")
            _, shape, dtype, fortran, content = state
            target.value = make_array(content, dtype, shape, "F" if fortran else "C")
        else:
            raise ForbiddenPickleError("it changes an array that is finished")

    _STEPS: ClassVar[dict[int, Callable[[_Walker], None]]] = {
        ord(code): step
        for code, step in {
            "\x80": lambda w: w._take(1),
            "\x95": lambda w: w._take(8),
            "(": lambda w: w._push(MARK),
            "0": lambda w: w._pop_many(1),
            "1": lambda w: w._pop_to_mark(),
            "2": lambda w: w._push(w._stack[-1]),
            "N": lambda w: w._push(None),
            "\x88": lambda w: w._push(True),
            "\x89": lambda w: w._push(False),
            "I": lambda w: w._int_line(),
            "J": lambda w: w._push(w._number("<i")),
            "K": lambda w: w._push(w._number("<B")),
            "M": lambda w: w._push(w._number("<H")),
            "L": lambda w: w._long_line(),
            "\x8a": lambda w: w._long("<B"),
            "\x8b": lambda w: w._long("<i"),
            "F": lambda w: w._push(float(w._line())),
            "G": lambda w: w._push(w._number(">d")),
            "S": lambda w: w._string_line(),
            "T": lambda w: w._push(w._counted("<i").tobytes().decode("latin1")),
            "U": lambda w: w._push(w._counted("<B").tobytes().decode("latin1")),
            "V": lambda w: w._push(w._line().decode("raw_unicode_escape")),
            "X": lambda w: w._push(w._counted("<I").tobytes().decode("utf-8", "surrogatepass")),
            "\x8c": lambda w: w._push(w._counted("<B").tobytes().decode("utf-8", "surrogatepass")),
            "\x8d": lambda w: w._push(w._counted("<Q").tobytes().decode("utf-8", "surrogatepass")),
            "B": lambda w: w._push(w._counted("<I").tobytes()),
            "C": lambda w: w._push(w._counted("<B").tobytes()),
            "\x8e": lambda w: w._push(w._counted("<Q").tobytes()),
            "\x96": lambda w: w._push(w._counted("<Q").tobytes()),
            "]": lambda w: w._push([]),
            "a": lambda w: w._extend(w._stack[-2], w._pop_many(1)),
            "e": lambda w: (lambda items: w._extend(w._stack[-1], items))(w._pop_to_mark()),
            "l": lambda w: w._push(w._pop_to_mark()),
            ")": lambda w: w._push(()),
            "t": lambda w: w._push(tuple(w._pop_to_mark())),
            "\x85": lambda w: w._push(w._pop_many(1)),
            "\x86": lambda w: w._push(w._pop_many(2)),
            "\x87": lambda w: w._push(w._pop_many(3)),
            "}": lambda w: w._push({}),
            "d": lambda w: (lambda items: (w._push({}), w._set_items(w._stack[-1], items)))(w._pop_to_mark()),
            "s": lambda w: (lambda items: w._set_items(w._stack[-1], list(items)))(w._pop_many(2)),
            "u": lambda w: (lambda items: w._set_items(w._stack[-1], items))(w._pop_to_mark()),
            "\x8f": lambda w: w._push(set()),
            "\x90": lambda w: (lambda items: w._add(w._stack[-1], items))(w._pop_to_mark()),
            "\x91": lambda w: w._push(frozenset(map(check_key, w._pop_to_mark()))),
            "p": lambda w: w._put(int(w._line())),
            "q": lambda w: w._put(w._number("<B")),
            "r": lambda w: w._put(w._number("<I")),
            "\x94": lambda w: w._put(len(w._memo)),
            "g": lambda w: w._get(int(w._line())),
            "h": lambda w: w._get(w._number("<B")),
            "j": lambda w: w._get(w._number("<I")),
            "c": lambda w: w._global_line(),
            "\x93": lambda w: w._stack_global(),
            "R": lambda w: w._reduce(),
            "\x81": lambda w: w._reduce(),  # NEWOBJ: the same names are allowed
            "b": lambda w: w._build(),
        }.items()
    }
