/*
 * A file system that fails on command: preloaded into a process, it makes calls of libc on files
 * below one directory fail, while a control file exists.
 *
 *   SHIM_BELOW  the directory
 *   SHIM_END    only files whose path ends so (optional)
 *   SHIM_FROM   reads and writes fail from this offset in the file on only (optional)
 *   SHIM_WHEN   the control file: an errno and the calls that fail with it, as in "116 open read"
 *
 * Calls that do not go through libc, such as those of rustix, pass by; a descriptor that they
 * opened does not, because a file is known by where /proc says that its descriptor leads.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* The errno with which `call` is to fail now, or 0. */
static int ordered(const char *call) {
    const char *when = getenv("SHIM_WHEN");
    char text[200];
    if (when == NULL) return 0;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, when, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) return 0;
    long length = syscall(SYS_read, fd, text, sizeof text - 1);
    syscall(SYS_close, fd);
    if (length <= 0) return 0;
    text[length] = 0;
    return strstr(text, call) != NULL ? atoi(text) : 0;
}

static int concerns(const char *path) {
    const char *below = getenv("SHIM_BELOW"), *end = getenv("SHIM_END");
    if (below == NULL || strncmp(path, below, strlen(below)) != 0) return 0;
    if (path[strlen(below)] != '/' && path[strlen(below)] != 0) return 0;
    size_t length = strlen(path), tail = end == NULL ? 0 : strlen(end);
    return length >= tail && strcmp(path + length - tail, end == NULL ? "" : end) == 0;
}

static int fault_at(const char *call, const char *path) {
    int before = errno;
    int fault = concerns(path) ? ordered(call) : 0;
    errno = fault != 0 ? fault : before;
    return fault;
}

static int fault_of(const char *call, int fd) {
    char link[40], path[4096];
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0) return 0;
    path[length] = 0;
    return fault_at(call, path);
}

#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define MODE(flags, mode)                                  \
    mode_t mode = 0;                                       \
    if (((flags) & O_CREAT) || ((flags) & O_TMPFILE) == O_TMPFILE) { \
        va_list rest;                                      \
        va_start(rest, flags);                             \
        mode = (mode_t)va_arg(rest, int);                  \
        va_end(rest);                                      \
    }

#define OPEN(name)                                              \
    int name(const char *path, int flags, ...) {                \
        MODE(flags, mode)                                       \
        REAL(name);                                             \
        return fault_at("open", path) ? -1 : real(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                            \
    int name(int directory, const char *path, int flags, ...) { \
        MODE(flags, mode)                                       \
        REAL(name);                                             \
        int bad = path[0] == '/' ? fault_at("open", path) : fault_of("open", directory); \
        return bad ? -1 : real(directory, path, flags, mode);   \
    }
OPENAT(openat)
OPENAT(openat64)

/* How much of `length` bytes at an offset still succeeds. */
static size_t room_at(off_t at, size_t length) {
    const char *text = getenv("SHIM_FROM");
    off_t from = text == NULL ? 0 : (off_t)atoll(text);
    if (at < 0 || at >= from) return 0;
    return (off_t)length < from - at ? length : (size_t)(from - at);
}

static size_t room(int fd, size_t length) {
    return room_at(lseek(fd, 0, SEEK_CUR), length);
}

ssize_t read(int fd, void *buffer, size_t length) {
    REAL(read);
    if (!fault_of("read", fd)) return real(fd, buffer, length);
    int fault = errno;
    size_t left = room(fd, length);
    if (left > 0) return real(fd, buffer, left);
    errno = fault;
    return -1;
}

#define PREAD(name, type)                                              \
    ssize_t name(int fd, void *buffer, size_t length, type offset) {   \
        REAL(name);                                                    \
        if (!fault_of("read", fd)) return real(fd, buffer, length, offset); \
        int fault = errno;                                             \
        size_t left = room_at((off_t)offset, length);                  \
        if (left > 0) return real(fd, buffer, left, offset);           \
        errno = fault;                                                 \
        return -1;                                                     \
    }
PREAD(pread, off_t)
PREAD(pread64, off64_t)

ssize_t write(int fd, const void *buffer, size_t length) {
    REAL(write);
    if (!fault_of("write", fd)) return real(fd, buffer, length);
    int fault = errno;
    size_t left = room(fd, length);
    if (left > 0) return real(fd, buffer, left);
    errno = fault;
    return -1;
}

int fsync(int fd) {
    REAL(fsync);
    return fault_of("fsync", fd) ? -1 : real(fd);
}

/* The descriptor is gone all the same, as Linux does it. */
int close(int fd) {
    REAL(close);
    int fault = fault_of("close", fd);
    int result = real(fd);
    if (fault == 0) return result;
    errno = fault;
    return -1;
}
