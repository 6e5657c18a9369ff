"""Memory in large pages. A step's arrays are megabytes that a CPU asks for anew each time, and Linux hands memory out,
and zeroes it, page by page: by 4 KiB that takes up to half of a step's time. By 2 MiB (transparent huge pages) it is
gone: training on a CPU is 1.1 to 1.7 times as fast (``benchmarks/README.md``).
"""

import contextlib
import os
import pathlib
import sys

VARIABLE = "GLIBC_TUNABLES"
_TUNABLE = "glibc.malloc.hugetlb"
_MODES = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")


def has_to_be_asked() -> bool:
    """Whether programs get large pages if they ask: Linux's usual setting, and a glibc of 2.35 or newer."""
    try:
        library, version = os.confstr("CS_GNU_LIBC_VERSION").split()
        is_new = library == "glibc" and tuple(map(int, version.split(".")[:2])) >= (2, 35)
        return is_new and "[madvise]" in _MODES.read_text()
    except (AttributeError, OSError, ValueError):  # another system
        return False


def use_large_pages() -> None:
    """Start this program again, with the same command line and process number, unless its memory is in large pages or
    ``GLIBC_TUNABLES`` speaks of them already: glibc reads that when a program starts, and only then. For the first
    lines of a program; worker processes inherit it."""
    tunables = os.environ.get(VARIABLE, "")
    if _TUNABLE in tunables or not has_to_be_asked():
        return
    os.environ[VARIABLE] = ":".join(filter(None, (tunables, f"{_TUNABLE}=1")))
    with contextlib.suppress(OSError):  # then as it is
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
