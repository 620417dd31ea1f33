/* Faults at the level of system calls, for a process that is started with this in LD_PRELOAD.

   Read from the environment at every call, so that a forked process chooses its own:
   FAULT_ROOT   a folder; calls that change files below it are counted from 1
   FAULT_KIND   before | after: die by SIGKILL before or after call FAULT_AT
                torn: die in the middle of it, where it is a write; else before it
                full: from call FAULT_AT on the disk takes no further byte and no new file
   FAULT_COUNT  a descriptor to which every counted call is written, by name
   CLOCK_STEP   seconds by which the wall clock leaps, forth or back, twice a second */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int calls;

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static int below(const char* path) {
    const char* root = getenv("FAULT_ROOT");
    char here[PATH_MAX];
    if (!root || !*root) return 0;
    if (path[0] != '/') path = getcwd(here, sizeof here);
    size_t size = strlen(root);
    return path && !strncmp(path, root, size) && (path[size] == '/' || !path[size]);
}

static int below_fd(int fd) {
    char link[64], path[PATH_MAX];
    if (!getenv("FAULT_ROOT")) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return path[0] == '/' && below(path);
}

/* Count a call that matters; die before it, or say that the disk is full. */
static int due(int matters, const char* name, int grows, int* last) {
    *last = 0;
    if (!matters) return 0;
    int mine = __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
    const char *at = getenv("FAULT_AT"), *kind = getenv("FAULT_KIND"), *log = getenv("FAULT_COUNT");
    if (log && *log) {
        syscall(SYS_write, atoi(log), name, strlen(name));
        syscall(SYS_write, atoi(log), "\n", 1);
    }
    if (!at || !kind || !*at) return 0;
    if (!strcmp(kind, "full")) {
        if (mine < atoi(at) || !grows) return 0;
        errno = ENOSPC;
        return 1;
    }
    if (mine != atoi(at)) return 0;
    if (!strcmp(kind, "before") || (!strcmp(kind, "torn") && grows != 2)) die();
    *last = 1;
    return 0;
}

#define AFTER(type, call)     \
    do {                      \
        type result = (call); \
        if (last) die();      \
        return result;        \
    } while (0)

ssize_t write(int fd, const void* bytes, size_t size) {
    int last;
    if (due(below_fd(fd), "write", 2, &last)) return -1;
    if (last && !strcmp(getenv("FAULT_KIND"), "torn")) size /= 2;
    AFTER(ssize_t, syscall(SYS_write, fd, bytes, size));
}

ssize_t pwrite64(int fd, const void* bytes, size_t size, off_t offset) {
    int last;
    if (due(below_fd(fd), "pwrite", 2, &last)) return -1;
    if (last && !strcmp(getenv("FAULT_KIND"), "torn")) size /= 2;
    AFTER(ssize_t, syscall(SYS_pwrite64, fd, bytes, size, offset));
}

ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
    return pwrite64(fd, bytes, size, offset);
}

int fsync(int fd) {
    int last;
    if (due(below_fd(fd), "fsync", 0, &last)) return -1;
    AFTER(int, syscall(SYS_fsync, fd));
}

int ftruncate64(int fd, off_t size) {
    int last;
    if (due(below_fd(fd), "ftruncate", 0, &last)) return -1;
    AFTER(int, syscall(SYS_ftruncate, fd, size));
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int rename(const char* from, const char* to) {
    int last;
    if (due(below(to), "rename", 0, &last)) return -1;
    AFTER(int, NEXT(rename)(from, to));
}

int unlink(const char* path) {
    int last;
    if (due(below(path), "unlink", 0, &last)) return -1;
    AFTER(int, NEXT(unlink)(path));
}

int mkdir(const char* path, mode_t mode) {
    int last;
    if (due(below(path), "mkdir", 1, &last)) return -1;
    AFTER(int, NEXT(mkdir)(path, mode));
}

int open64(const char* path, int flags, ...) {
    mode_t mode = 0;
    int last, makes = (flags & O_CREAT) && access(path, F_OK);
    if (flags & O_CREAT) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    if (due(makes && below(path), "create", 1, &last)) return -1;
    AFTER(int, syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

static long leap(void) {
    const char* step = getenv("CLOCK_STEP");
    struct timespec now;
    if (!step || !*step) return 0;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    return (now.tv_sec * 2 + now.tv_nsec / 500000000) % 2 ? atol(step) : -atol(step);
}

int clock_gettime(clockid_t clock, struct timespec* time) {
    int result = syscall(SYS_clock_gettime, clock, time);
    if (clock == CLOCK_REALTIME) time->tv_sec += leap();
    return result;
}

int gettimeofday(struct timeval* restrict now, void* restrict zone) {
    struct timespec time;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &time);
    now->tv_sec = time.tv_sec;
    now->tv_usec = time.tv_nsec / 1000;
    return 0;
}
