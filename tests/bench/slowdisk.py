"""A slow disk for a whole server: a library, preloaded, that makes each fsync and fdatasync take 4 ms longer.

Syncs of several threads and processes still overlap, as on a network disk. Built with the machine's C compiler.
"""

import shutil
import subprocess
from pathlib import Path

DELAY_MS = 4
SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
static void pause_now(void) { struct timespec t = {0, DELAY_MS * 1000000L}; nanosleep(&t, 0); }
int fsync(int fd) {
    static int (*real)(int); if (!real) real = dlsym(RTLD_NEXT, "fsync"); pause_now(); return real(fd);
}
int fdatasync(int fd) {
    static int (*real)(int); if (!real) real = dlsym(RTLD_NEXT, "fdatasync"); pause_now(); return real(fd);
}
"""


def build(folder: Path) -> Path | None:
    """The library for LD_PRELOAD, or None where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    source, library = folder / "slowdisk.c", folder / "slowdisk.so"
    source.write_text(SOURCE)
    command = [compiler, "-shared", "-fPIC", "-O2", f"-DDELAY_MS={DELAY_MS}", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True)
    library.chmod(0o755)
    return library
