"""What a disk holds when the power goes: each file as it was last synced, under the names last synced.

To be run as a process: it writes to a store and blobs until as many writes are acknowledged as it was told,
then leaves an image of such a disk in another folder and ends without closing anything. It sees each sync
where it is made: of SQLite's files in a VFS of its own between SQLite and the system, of others in os.fsync.

What was written and not synced may or may not have reached the disk, so that each of SQLite's files is taken
at random as it was synced, or as it is, or with rubbish behind what was synced.
"""

import asyncio
import ctypes
import os
import random
import sqlite3
import stat
import sys
from pathlib import Path
from threading import Lock
from typing import Any

from tests.storage.crash.working import prepare, work

from handful.storage.blobs import Blobs
from handful.storage.open import open_store

_METHODS = 19  # words of sqlite3_io_methods: its version, then functions; the sixth of all is xSync
_SYNC = 5
_Pointer = ctypes.c_void_p
_OpenFile = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, ctypes.c_char_p, _Pointer, ctypes.c_int, _Pointer)
_SyncFile = ctypes.CFUNCTYPE(ctypes.c_int, _Pointer, ctypes.c_int)


class _Vfs(ctypes.Structure):
    """sqlite3_vfs, as sqlite3.h has it."""

    _fields_ = (
        ("iVersion", ctypes.c_int),
        ("szOsFile", ctypes.c_int),
        ("mxPathname", ctypes.c_int),
        ("pNext", _Pointer),
        ("zName", ctypes.c_char_p),
        ("pAppData", _Pointer),
        ("xOpen", _Pointer),
        *((f"other{number}", _Pointer) for number in range(15)),
    )


class Disk:
    """What has been synced so far, of this process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._sqlite: dict[str, bytes] = {}  # by path
        self._files: dict[int, bytes] = {}  # by inode
        self._folders: dict[str, dict[str, int]] = {}  # by path: names, and their inodes
        self._alive: list[Any] = []  # that C code points to
        self._fsync = os.fsync
        os.fsync = self._synced  # type: ignore[assignment]

    def watch_sqlite(self, library: str) -> bool:
        """Put a VFS under every later connection; False where Python's SQLite is another library."""
        sqlite = ctypes.CDLL(library)
        sqlite.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        sqlite.sqlite3_vfs_register.argtypes = [_Pointer, ctypes.c_int]
        system = sqlite.sqlite3_vfs_find(None)
        own = _Vfs.from_buffer_copy(system.contents)
        own.pNext, own.zName = None, b"watched"
        open_file = _OpenFile(own.xOpen)

        def opened(_: int, name: bytes | None, file: int, flags: int, out: int) -> int:
            failed: int = open_file(ctypes.cast(system, _Pointer), name, file, flags, out)
            if not failed and name is not None:
                self._watch(name.decode(), file)
            return failed

        callback = _OpenFile(opened)
        own.xOpen = ctypes.cast(callback, _Pointer).value
        self._alive += [sqlite, own, callback]
        sqlite.sqlite3_vfs_register(ctypes.addressof(own), 1)
        try:
            sqlite3.connect("file::memory:?vfs=watched", uri=True).close()
        except sqlite3.OperationalError:
            return False
        return True

    def _watch(self, path: str, file: int) -> None:
        methods = _Pointer.from_address(file)
        own = (_Pointer * _METHODS).from_buffer_copy((_Pointer * _METHODS).from_address(methods.value or 0))
        sync_file = _SyncFile(own[_SYNC] or 0)

        def synced(handle: int, flags: int) -> int:
            failed: int = sync_file(handle, flags)
            if not failed:
                with self._lock:
                    self._sqlite[path] = Path(path).read_bytes()
            return failed

        callback = _SyncFile(synced)
        own[_SYNC] = ctypes.cast(callback, _Pointer).value
        self._alive += [own, callback]
        methods.value = ctypes.addressof(own)

    def _synced(self, descriptor: int) -> None:
        self._fsync(descriptor)
        found, path = os.fstat(descriptor), f"/proc/self/fd/{descriptor}"
        with self._lock:
            if stat.S_ISDIR(found.st_mode):
                with os.scandir(path) as entries:
                    self._folders[os.readlink(path)] = {entry.name: entry.inode() for entry in entries}
            else:
                self._files[found.st_ino] = Path(path).read_bytes()

    def lose_power(self, data: Path, image: Path, rng: random.Random) -> None:
        """Leave in `image` what `data` holds after it. Nothing is written any more meanwhile."""
        with self._lock:
            assert data.name in self._folders[str(data.parent)], "the data folder itself is lost"
            self._lay_out(str(data), image)
            for path, synced in self._sqlite.items():
                if Path(path).exists():  # a journal that SQLite is done with is not
                    now = Path(path).read_bytes()
                    rubbish = synced + rng.randbytes(rng.randint(1, 30_000))
                    (image / Path(path).name).write_bytes(
                        rng.choice([synced, now, rubbish if path.endswith("-wal") else synced])
                    )
            os._exit(0)

    def _lay_out(self, folder: str, image: Path) -> None:
        image.mkdir(exist_ok=True)
        for name, inode in self._folders.get(folder, {}).items():
            path = f"{folder}/{name}"
            if os.path.isdir(path):
                self._lay_out(path, image / name)
            elif os.path.exists(path) and path not in self._sqlite:
                (image / name).write_bytes(self._files.get(inode, b""))  # never synced: empty


async def _run(data: Path, image: Path, writes: int, seed: int) -> None:
    disk = Disk()
    if not disk.watch_sqlite("libsqlite3.so.0"):
        sys.exit("Python's SQLite is not the system's")
    store, blobs = open_store(f"sqlite:///{data}/store.sqlite"), Blobs(str(data / "blobs"))
    id = await prepare(store)
    os.write(1, f"{id}\n".encode())
    acknowledged = 0

    def say(text: str) -> None:
        nonlocal acknowledged
        os.write(1, f"{text}\n".encode())
        acknowledged += text.startswith("done")
        if acknowledged == writes:
            disk.lose_power(data, image, random.Random(seed))

    await work(store, blobs, id, seed, say)


if __name__ == "__main__":
    _data, _image, _writes, _seed = sys.argv[1:]
    asyncio.run(_run(Path(_data), Path(_image), int(_writes), int(_seed)))
