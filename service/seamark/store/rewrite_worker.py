"""Lines of JSON with rewrites of files -> a line with the outcome of each. The child process of store/rewriting.py.

It ends with its input, or with its parent.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress

import msgspec
import pyarrow as pa

from seamark.store.rewriting import Outcome, Rewrite, rewrite

_NICENESS = 19  # it takes the processor time that nobody else wants
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Answer until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which then ends this process
    with suppress(OSError):
        os.nice(_NICENESS)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(sys.argv[1]):
            return  # it was gone before that
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(msgspec.json.encode(_done(line)) + b"\n")
        sys.stdout.buffer.flush()
        pa.default_memory_pool().release_unused()


def _done(line: bytes) -> Outcome:
    try:
        return Outcome(rewrite(msgspec.json.decode(line, type=Rewrite)))
    except (OSError, ValueError, pa.ArrowException) as error:
        return Outcome(error=str(error))


if __name__ == "__main__":
    main()
