"""Processes whose changes of the disk are watched, refused, cut short, or the last thing that they do.

By ptrace, one system call at a time: so it reaches what SQLite and NumPy write, too, and needs neither a compiler nor a
special file system. Linux on x86-64.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple, Protocol

Say = Callable[[bytes], None]
"""A victim acknowledges something with it: from then on it must not be lost."""
Act = Callable[[Say], None]

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_LIBC.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_LIBC.ptrace.restype = ctypes.c_long
_TRACEME, _GETREGS, _SETREGS, _SYSCALL, _SETOPTIONS = 0, 12, 13, 24, 0x4200
_OPTIONS: Final = 0x1 | 0x8 | 0x100000  # mark stops at system calls, follow threads, die with the tracer
_WALL: Final = 0x40000000
_AT_SYSCALL: Final = signal.SIGTRAP | 0x80
_REGISTERS: Final = 27
_RAX, _RDX, _RSI, _RDI, _ORIG_RAX = 10, 12, 13, 14, 15
_R10: Final = 7
_MINUS_ONE: Final = 2**64 - 1
_AT_CWD: Final = 2**32 - 100
_PATH_MAX: Final = 4096
_CHANGING_FLAGS: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Kind(Enum):
    """What a system call does to a disk."""

    OPEN = "open"
    WRITE = "write"
    CUT = "truncate"
    SYNC = "fsync"
    MOVE = "rename"
    LINK = "link"
    REMOVE = "unlink"
    MAKE = "mkdir"


class _Call(NamedTuple):
    """Where the arguments are: registers of a file descriptor and a length, or of (folder, name) once or twice."""

    kind: Kind
    descriptor: int | None = None
    names: tuple[tuple[int | None, int], ...] = ()
    length: int | None = None


_CALLS: Final[dict[int, _Call]] = {
    1: _Call(Kind.WRITE, _RDI, length=_RDX),
    2: _Call(Kind.OPEN, names=((None, _RDI),)),
    18: _Call(Kind.WRITE, _RDI, length=_RDX),
    20: _Call(Kind.WRITE, _RDI),
    40: _Call(Kind.WRITE, _RDI, length=_R10),
    74: _Call(Kind.SYNC, _RDI),
    75: _Call(Kind.SYNC, _RDI),
    77: _Call(Kind.CUT, _RDI),
    82: _Call(Kind.MOVE, names=((None, _RDI), (None, _RSI))),
    83: _Call(Kind.MAKE, names=((None, _RDI),)),
    84: _Call(Kind.REMOVE, names=((None, _RDI),)),
    86: _Call(Kind.LINK, names=((None, _RDI), (None, _RSI))),
    87: _Call(Kind.REMOVE, names=((None, _RDI),)),
    257: _Call(Kind.OPEN, names=((_RDI, _RSI),)),
    258: _Call(Kind.MAKE, names=((_RDI, _RSI),)),
    263: _Call(Kind.REMOVE, names=((_RDI, _RSI),)),
    264: _Call(Kind.MOVE, names=((_RDI, _RSI), (_RDX, _R10))),
    265: _Call(Kind.LINK, names=((_RDI, _RSI), (_RDX, _R10))),
    316: _Call(Kind.MOVE, names=((_RDI, _RSI), (_RDX, _R10))),
    326: _Call(Kind.WRITE, _RDX),
}
"""write open pwrite64 writev sendfile fsync fdatasync ftruncate rename mkdir rmdir link unlink, the *at forms of these,
renameat2, copy_file_range."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong at the changes of the disk from number `first` (from 1) on.

    Args:
        name: for people.
        kinds: which changes can go wrong so.
        error: what the system says; None: nothing, as the process is killed, or writes are cut short.
        lasting: whether it goes on going wrong.
        cut: a write does half of what was asked.
    """

    name: str
    first: int
    kinds: frozenset[Kind] = frozenset(Kind)
    error: int | None = None
    lasting: bool = False
    cut: bool = False

    @property
    def kills(self) -> bool:
        return self.error is None and (not self.cut or self.name == TORN)


TORN: Final = "torn write"
_GROWING: Final = frozenset((Kind.OPEN, Kind.WRITE, Kind.CUT, Kind.MOVE, Kind.LINK, Kind.MAKE))
_WRITING: Final = frozenset((Kind.WRITE,))


def killed(first: int) -> Fault:
    """`kill -9` before a change."""
    return Fault("killed", first)


def torn(first: int) -> Fault:
    """`kill -9` when half of a write is done."""
    return Fault(TORN, first, _WRITING, cut=True)


FAILURES: Final[tuple[Callable[[int], Fault], ...]] = (
    lambda first: Fault("disk full", first, _GROWING, errno.ENOSPC, lasting=True),
    lambda first: Fault("disk full once", first, _GROWING, errno.ENOSPC),
    lambda first: Fault("read-only", first, frozenset(Kind) - {Kind.SYNC}, errno.EROFS, lasting=True),
    lambda first: Fault("no permission", first, frozenset(Kind) - {Kind.SYNC, Kind.WRITE}, errno.EACCES, lasting=True),
    lambda first: Fault("fsync fails", first, frozenset((Kind.SYNC,)), errno.EIO),
    lambda first: Fault("write fails", first, _WRITING, errno.EIO),
    lambda first: Fault("short write", first, _WRITING, cut=True),
)


class Seen(NamedTuple):
    """A change of the disk that was made, with paths relative to the watched folder.

    Args:
        path: of the file or folder; for MOVE and LINK the old name.
        other: the new name of MOVE and LINK.
        offset, data: of WRITE; `offset` is the new length with CUT.
        said: what was acknowledged: then nothing else is set.
    """

    kind: Kind | None
    path: str = ""
    other: str = ""
    offset: int = 0
    data: bytes = b""
    said: bytes | None = None


class Watcher(Protocol):
    """Is told of every change after it was made."""

    def __call__(self, seen: Seen) -> None: ...


class Outcome(NamedTuple):
    """How a victim ended.

    Args:
        said: what it acknowledged.
        error: type and text of the exception that it ended with; None: it did all it had to.
        was_killed: by us.
        changes: of the disk, that it made or tried to make.
        hit: whether the fault came to pass.
    """

    said: tuple[bytes, ...]
    error: tuple[str, str] | None
    was_killed: bool
    changes: int
    hit: bool


def reason_to_skip() -> str | None:
    """Why there is no tracing here."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "system calls are traced on Linux, x86-64, only"
    child = os.fork()
    if child == 0:
        os._exit(_LIBC.ptrace(_TRACEME, 0, None, None) & 1)
    return "tracing of processes is forbidden here" if os.waitpid(child, 0)[1] else None


def run_traced(folder: Path, act: Act, fault: Fault | None = None, watch: Watcher | None = None) -> Outcome:
    """Forks a process that does `act`, and sees, or spoils, each change that it makes under `folder`."""
    heard, said = os.pipe()
    child = os.fork()
    if child == 0:
        _be_victim(act, heard, said)
    os.close(said)
    with suppress(PermissionError):
        os.setpgid(child, child)
    tracer = _Tracer(child, os.path.realpath(folder), fault, watch)
    try:
        was_killed = tracer.run()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        told = b""
        while piece := os.read(heard, 2**16):
            told += piece
        os.close(heard)
    messages = list(_messages(told))
    ends = [message for kind, message in messages if kind == b"e"]
    error = None
    if not was_killed and not ends:
        error = ("Died", "without a word")
    elif ends and ends[0]:
        name, _, text = ends[0].decode().partition(":")
        error = (name, text)
    acknowledged = tuple(message for kind, message in messages if kind == b"a")
    return Outcome(acknowledged, error, was_killed, tracer.changes, tracer.hit)


def _be_victim(act: Act, heard: int, said: int) -> None:
    """Never returns."""

    def tell(kind: bytes, message: bytes) -> None:
        os.write(said, kind + len(message).to_bytes(4, "little") + message)

    try:
        os.close(heard)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # servers log each failure; what counts is what they tell
        os.setpgid(0, 0)
        _LIBC.ptrace(_TRACEME, 0, None, None)
        os.kill(os.getpid(), signal.SIGSTOP)
        try:
            act(lambda message: tell(b"a", message))
        except BaseException as error:
            names = "/".join(kind.__name__ for kind in type(error).__mro__[:-3])
            tell(b"e", f"{names}:{error}"[:2000].encode())
        else:
            tell(b"e", b"")
    finally:
        os._exit(0)


def _messages(told: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    while place + 5 <= len(told):
        end = place + 5 + int.from_bytes(told[place + 1 : place + 5], "little")
        yield told[place : place + 1], told[place + 5 : end]
        place = end


class _Tracer:
    """Follows all threads of one process."""

    def __init__(self, child: int, root: str, fault: Fault | None, watch: Watcher | None) -> None:
        self.child, self.root, self.fault, self.watch = child, root, fault, watch
        self.changes, self.hit = 0, False
        self._registers = (ctypes.c_ulonglong * _REGISTERS)()
        self._inside: dict[int, Callable[[], None] | None] = {}
        self._ending = False
        self._said_fd: int | None = None

    def run(self) -> bool:
        """Until the process is gone; whether we killed it."""
        os.waitpid(self.child, _WALL)
        _ask(_SETOPTIONS, self.child, None, ctypes.c_void_p(_OPTIONS))
        _ask(_SYSCALL, self.child)
        while True:
            try:
                thread, status = os.waitpid(-self.child, _WALL)
            except ChildProcessError:
                return self._ending
            if not os.WIFSTOPPED(status):
                self._inside.pop(thread, None)
                continue
            number, passed_on = os.WSTOPSIG(status), 0
            try:
                if number == _AT_SYSCALL:
                    self._at_syscall(thread)
                elif number not in (signal.SIGTRAP, signal.SIGSTOP):
                    passed_on = number
                _ask(_SYSCALL, thread, None, ctypes.c_void_p(passed_on))
            except ProcessLookupError:  # killed meanwhile
                continue

    def _at_syscall(self, thread: int) -> None:
        if thread in self._inside:
            after = self._inside.pop(thread)
            if after is not None:
                _ask(_GETREGS, thread, None, self._registers)
                after()
            return
        self._inside[thread] = None
        _ask(_GETREGS, thread, None, self._registers)
        call = _CALLS.get(self._registers[_ORIG_RAX])
        if call is None:
            return
        paths = self._paths(thread, call)
        if not any(path.startswith(self.root + "/") or path == self.root for path in paths):
            if self.watch is not None and call.kind is Kind.WRITE and paths[0].startswith("pipe:"):
                self._heard(thread)
            return
        if call.kind is Kind.OPEN:
            flags = self._registers[_RDX if call.names[0][0] is not None else _RSI]
            if not flags & _CHANGING_FLAGS:
                return
        self.changes += 1
        if not self._spoil(thread, call) and self.watch is not None:
            self._inside[thread] = self._watching(thread, call, paths)

    def _spoil(self, thread: int, call: _Call) -> bool:
        """Whether the fault came to pass here; the process is killed, the call refused, or made shorter."""
        fault = self.fault
        is_due = fault is not None and (self.changes >= fault.first if fault.lasting else not self.hit)
        if fault is None or not is_due or self.changes < fault.first or call.kind not in fault.kinds:
            return False
        registers = self._registers
        if fault.cut:
            if call.length is None or registers[call.length] < 2:
                return False
            registers[call.length] //= 2
            _ask(_SETREGS, thread, None, registers)
            self._inside[thread] = self._kill if fault.kills else None
        elif fault.kills:
            self._kill()
        else:
            registers[_ORIG_RAX] = _MINUS_ONE
            _ask(_SETREGS, thread, None, registers)
            self._inside[thread] = self._refusing(thread, fault.error or errno.EIO)
        self.hit = True
        return True

    def _kill(self) -> None:
        self._ending = True
        os.kill(self.child, signal.SIGKILL)

    def _refusing(self, thread: int, error: int) -> Callable[[], None]:
        def refuse() -> None:
            self._registers[_RAX] = 2**64 - error
            _ask(_SETREGS, thread, None, self._registers)

        return refuse

    def _heard(self, thread: int) -> None:
        """A message on the pipe to us: an acknowledgement, where it is one."""
        registers = self._registers
        message = _memory(thread, registers[_RSI], registers[_RDX])
        if self.watch is not None and message[:1] == b"a":
            self.watch(Seen(None, said=message[5:]))

    def _watching(self, thread: int, call: _Call, paths: list[str]) -> Callable[[], None]:
        """What tells the watcher, once the call has been made."""
        registers, watch = self._registers, self.watch
        descriptor = None if call.descriptor is None else registers[call.descriptor]
        names = [os.path.relpath(path, self.root) for path in paths]
        is_new = call.kind is Kind.OPEN and not os.path.lexists(paths[0])
        start = 0
        if call.kind is Kind.WRITE and descriptor is not None:
            start = registers[_R10] if registers[_ORIG_RAX] == 18 else _position(thread, descriptor)
        length = registers[_RSI]
        cuts = call.kind is Kind.OPEN and bool(registers[_RDX if call.names[0][0] is not None else _RSI] & os.O_TRUNC)

        def tell() -> None:
            result = registers[_RAX]
            if watch is None or result >= 2**64 - 4096:
                return
            if call.kind is Kind.WRITE:
                with open(f"/proc/{thread}/fd/{descriptor}", "rb") as written:
                    data = os.pread(written.fileno(), result, start)
                watch(Seen(call.kind, names[0], offset=start, data=data))
            elif call.kind is Kind.CUT:
                watch(Seen(call.kind, names[0], offset=length))
            elif call.kind is Kind.OPEN:
                if is_new:
                    watch(Seen(call.kind, names[0]))
                elif cuts:
                    watch(Seen(Kind.CUT, names[0]))
            else:
                watch(Seen(call.kind, names[0], names[1] if len(names) > 1 else ""))

        return tell

    def _paths(self, thread: int, call: _Call) -> list[str]:
        registers = self._registers
        try:
            if call.descriptor is not None:
                return [os.readlink(f"/proc/{thread}/fd/{registers[call.descriptor]}")]
            return [
                _path(thread, None if folder is None else registers[folder], registers[name])
                for folder, name in call.names
            ]
        except OSError:  # no such descriptor: the call will fail by itself
            return [""]


def _ask(request: int, thread: int, address: object = None, data: object = None) -> None:
    """ptrace. Raises ProcessLookupError: the thread is gone."""
    if _LIBC.ptrace(request, thread, address, data) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _memory(thread: int, address: int, length: int) -> bytes:
    with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        return memory.read(length)


def _path(thread: int, folder: int | None, address: int) -> str:
    """The absolute path that a folder's descriptor and a name in the process's memory mean."""
    page = 4096 - address % 4096
    text = _memory(thread, address, page)
    while b"\0" not in text and len(text) < _PATH_MAX:
        text += _memory(thread, address + len(text), 4096)
    name = os.fsdecode(text.split(b"\0", 1)[0])
    is_here = folder is None or folder & 0xFFFFFFFF == _AT_CWD
    start = os.readlink(f"/proc/{thread}/cwd" if is_here else f"/proc/{thread}/fd/{folder}")
    return os.path.normpath(os.path.join(start, name))


def _position(thread: int, descriptor: int) -> int:
    """Where the next write goes."""
    fields = dict(line.split(":\t", 1) for line in Path(f"/proc/{thread}/fdinfo/{descriptor}").read_text().splitlines()
                  if ":\t" in line)  # fmt: skip
    if int(fields["flags"], 8) & os.O_APPEND:
        return os.stat(f"/proc/{thread}/fd/{descriptor}").st_size
    return int(fields["pos"])
