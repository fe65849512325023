/* Ends the process by SIGKILL before the KILL_AT-th call that writes to a file whose name has KILL_NAME in it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static void count(const char *path) {
    static long calls = 0;
    const char *name = getenv("KILL_NAME"), *at = getenv("KILL_AT");
    if (name && at && strstr(path, name) && __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST) == atol(at))
        kill(getpid(), SIGKILL);
}

static void count_descriptor(int file) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size > 0) {
        path[size] = 0;
        count(path);
    }
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int file, const void *data, size_t size) {
    count_descriptor(file);
    return NEXT(write)(file, data, size);
}
ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
    count_descriptor(file);
    return NEXT(pwrite)(file, data, size, at);
}
ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
    count_descriptor(file);
    return NEXT(pwrite64)(file, data, size, at);
}
ssize_t writev(int file, const struct iovec *parts, int parts_count) {
    count_descriptor(file);
    return NEXT(writev)(file, parts, parts_count);
}
int ftruncate(int file, off_t size) {
    count_descriptor(file);
    return NEXT(ftruncate)(file, size);
}
int ftruncate64(int file, off64_t size) {
    count_descriptor(file);
    return NEXT(ftruncate64)(file, size);
}
int rename(const char *old, const char *new) {
    count(new);
    return NEXT(rename)(old, new);
}
