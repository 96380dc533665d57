/* What a disk is asked for, written down: preloaded, it notes each change of a file in one directory, in order.

   A change is noted after it was made, a sync after it was asked for. So a change is never taken for durable that the
   sync might have missed. The sync itself is left out: nothing but this journal tells what a cut of the power leaves.

   UNDERCROFT_TEST_POWER_OF names the directory, UNDERCROFT_TEST_POWER_TO the journal. A note is
   kind (8 bytes) offset (8) length of the path (8) length of the data (8) path, data, in one append. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *of;
static int journal = -1;

static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_ftruncate)(int, off64_t);
static int (*real_fsync)(int);
static int (*real_unlink)(const char *);

__attribute__((constructor)) static void begin(void) {
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_write = dlsym(RTLD_NEXT, "write");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    const char *to = getenv("UNDERCROFT_TEST_POWER_TO");
    of = getenv("UNDERCROFT_TEST_POWER_OF");
    if (of && to) journal = open(to, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static void note(uint64_t kind, const char *path, uint64_t offset, const void *data, uint64_t length) {
    uint64_t head[4] = {kind, offset, strlen(path), length};
    struct iovec parts[3] = {{head, sizeof head}, {(void *)path, head[2]}, {(void *)data, length}};
    size_t whole = sizeof head + head[2] + length;
    if (writev(journal, parts, 3) != (ssize_t)whole) abort();
}

/* Whether the descriptor is of a file in the directory, or of the directory itself; its path. */
static int ours(int file, char path[4096]) {
    char link[64];
    if (journal < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, 4095);
    if (length < 0) return 0;
    path[length] = 0;
    size_t known = strlen(of);
    return strncmp(path, of, known) == 0 && (path[known] == '/' || path[known] == 0);
}

ssize_t pwrite64(int file, const void *data, size_t length, off64_t offset) {
    char path[4096];
    ssize_t done = real_pwrite(file, data, length, offset);
    if (done > 0 && ours(file, path)) note('W', path, offset, data, done);
    return done;
}

ssize_t pwrite(int file, const void *data, size_t length, off_t offset) { return pwrite64(file, data, length, offset); }

ssize_t write(int file, const void *data, size_t length) {
    char path[4096];
    ssize_t done = real_write(file, data, length);
    if (done > 0 && ours(file, path)) note('A', path, 0, data, done);
    return done;
}

int ftruncate64(int file, off64_t length) {
    char path[4096];
    int failed = real_ftruncate(file, length);
    if (!failed && ours(file, path)) note('T', path, length, "", 0);
    return failed;
}

int ftruncate(int file, off_t length) { return ftruncate64(file, length); }

int fsync(int file) {
    char path[4096];
    if (!ours(file, path)) return real_fsync(file);
    note('S', path, 0, "", 0);
    return 0;
}

int fdatasync(int file) { return fsync(file); }

int unlink(const char *path) {
    int failed = real_unlink(path);
    size_t known = of ? strlen(of) : 0;
    if (!failed && journal >= 0 && strncmp(path, of, known) == 0 && path[known] == '/') note('U', path, 0, "", 0);
    return failed;
}
