/* Counts the syncs of a process, and fails them on demand: preloaded by tests.doubles.syncs.
   The file named by TEST_SYNCS holds two counters of eight octets: syncs so far; non-zero: fail with EIO. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile uint64_t *shared;

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("TEST_SYNCS");
    int file = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *place = mmap(NULL, 16, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (place != MAP_FAILED) shared = place;
}

static int sync_by(const char *name, int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (shared && shared[1]) {
        errno = EIO;
        return -1;
    }
    int result = real(file);
    if (shared && result == 0) __atomic_add_fetch(&shared[0], 1, __ATOMIC_SEQ_CST);
    return result;
}

int fsync(int file) { return sync_by("fsync", file); }
int fdatasync(int file) { return sync_by("fdatasync", file); }
