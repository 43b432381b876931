/* A disk that misbehaves: loaded before libc (LD_PRELOAD), it sees what a process does below one folder. It has what
 * Python calls; what C libraries write by themselves (fopen), it does not see.
 *
 * Each operation is counted in memory that all processes share. What the variables ask for happens to those whose kind is
 * among CHAOS_KINDS and whose number is in [CHAOS_FIRST, CHAOS_LAST]; they name what disk_shim.py sets.
 *
 * Kinds: o open a file for writing, w write, t truncate, s fsync, r rename, u unlink, d make or remove a directory.
 *
 * With CHAOS_JOURNAL, each operation that has succeeded is a line of that file: kind, inode, number, path, new path.
 * The number is the offset of a write, or the size after a truncation or fsync. A name that a rename or unlink takes from
 * a file is kept as a hard link in CHAOS_KEEP, so that the operation can be undone.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const char KINDS[] = "owtsrud";

struct shared {
    atomic_long of_kind[sizeof(KINDS) - 1]; /* all operations */
    atomic_long matching;                   /* those of CHAOS_KINDS */
    atomic_long reached;                    /* 1: the operation with the number CHAOS_FIRST has come */
};

static struct shared *shared;
static const char *folder, *kinds, *action, *journal, *keep;
static long first, last, sleep_us;
static int is_short;

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value != NULL ? value : "";
}

__attribute__((constructor)) static void begin(void) {
    if (shared != NULL || getenv("CHAOS_FOLDER") == NULL)
        return;
    folder = variable("CHAOS_FOLDER");
    kinds = variable("CHAOS_KINDS");
    action = variable("CHAOS_ACTION");
    journal = variable("CHAOS_JOURNAL");
    keep = variable("CHAOS_KEEP");
    first = atol(variable("CHAOS_FIRST"));
    last = atol(variable("CHAOS_LAST"));
    sleep_us = atol(variable("CHAOS_SLEEP_US"));
    is_short = atoi(variable("CHAOS_SHORT"));
    int fd = (int)syscall(SYS_openat, AT_FDCWD, variable("CHAOS_COUNTERS"), O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *memory = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (memory != MAP_FAILED)
        shared = memory;
}

/* --- which file ------------------------------------------------------------------------------------------------ */

static int link_of_fd(int fd, char *path) {
    char name[64];
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, name, path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = '\0';
    return length > 0;
}

static void absolute(int dir_fd, const char *name, char *path) {
    path[0] = '\0';
    if (name[0] != '/') {
        if (dir_fd == AT_FDCWD ? syscall(SYS_getcwd, path, PATH_MAX) < 0 : !link_of_fd(dir_fd, path))
            return;
        strncat(path, "/", PATH_MAX - strlen(path) - 1);
    }
    strncat(path, name, PATH_MAX - strlen(path) - 1);
}

/* Return whether it is the folder or something in it. */
static int is_below(const char *path) {
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* --- what happens to an operation ------------------------------------------------------------------------------ */

static void wait_us(long us) {
    struct timespec time = {us / 1000000, us % 1000000 * 1000};
    nanosleep(&time, NULL);
}

/* Return 0 if the operation may go on, else -1 with errno. */
static int admit(char kind) {
    atomic_fetch_add(&shared->of_kind[strchr(KINDS, kind) - KINDS], 1);
    if (strchr(kinds, kind) == NULL)
        return 0;
    long number = atomic_fetch_add(&shared->matching, 1);
    if (sleep_us > 0)
        wait_us(sleep_us);
    if (number < first || number > last)
        return 0;
    atomic_store(&shared->reached, 1);
    if (strcmp(action, "kill") == 0)
        kill(getpid(), SIGKILL);
    while (strcmp(action, "hold") == 0) /* until the power is cut */
        wait_us(1000000);
    errno = atoi(action);
    return errno == 0 ? 0 : -1;
}

static void record(char kind, unsigned long inode, long number, const char *path, const char *to) {
    char line[2 * PATH_MAX + 64];
    if (journal[0] == '\0')
        return;
    int length = snprintf(line, sizeof(line), "%c\t%lu\t%ld\t%s\t%s\n", kind, inode, number, path, to);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, journal, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd >= 0) {
        syscall(SYS_write, fd, line, (size_t)length);
        syscall(SYS_close, fd);
    }
}

static unsigned long inode_of(const char *path) {
    struct stat status;
    return fstatat(AT_FDCWD, path, &status, AT_SYMLINK_NOFOLLOW) == 0 ? status.st_ino : 0;
}

static void record_fd(char kind, int fd, long number) {
    struct stat status;
    char path[PATH_MAX];
    if (journal[0] != '\0' && fstat(fd, &status) == 0 && link_of_fd(fd, path))
        record(kind, status.st_ino, number < 0 ? (long)status.st_size : number, path, "");
}

/* Keep the file that is about to lose the name `path`. */
static void keep_file(const char *path) {
    char name[PATH_MAX];
    unsigned long inode = inode_of(path);
    if (journal[0] == '\0' || inode == 0)
        return;
    snprintf(name, sizeof(name), "%s/%lu", keep, inode);
    syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, name, 0);
}

/* --- the operations -------------------------------------------------------------------------------------------- */

static int watches_fd(int fd) {
    char path[PATH_MAX];
    return shared != NULL && link_of_fd(fd, path) && is_below(path);
}

static int opened(const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    int is_new = 0, is_watched = 0;
    if (shared != NULL && (flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) != 0) {
        absolute(AT_FDCWD, name, path);
        is_watched = is_below(path);
        is_new = is_watched && inode_of(path) == 0;
        if (is_watched && admit('o') != 0)
            return -1;
    }
    int fd = (int)syscall(SYS_openat, AT_FDCWD, name, flags, mode);
    if (fd >= 0 && is_watched && (is_new || (flags & O_TRUNC) != 0))
        record_fd(is_new ? 'o' : 't', fd, 0);
    return fd;
}

#define OPEN(name)                               \
    int name(const char *path, int flags, ...) { \
        va_list rest;                            \
        va_start(rest, flags);                   \
        mode_t mode = va_arg(rest, mode_t);      \
        va_end(rest);                            \
        return opened(path, flags, mode);        \
    }
OPEN(open)
OPEN(open64)

static long offset_after(int fd, ssize_t written) {
    return (long)syscall(SYS_lseek, fd, 0, SEEK_CUR) - written;
}

ssize_t write(int fd, const void *data, size_t size) {
    int is_watched = fd > 2 && watches_fd(fd);
    if (is_watched && admit('w') != 0)
        return -1;
    if (is_watched && is_short && size > 1) {
        if (atomic_load(&shared->matching) % 3 == 0) {
            errno = EINTR;
            return -1;
        }
        size = (size + 1) / 2;
    }
    ssize_t written = syscall(SYS_write, fd, data, size);
    if (written > 0 && is_watched)
        record_fd('w', fd, offset_after(fd, written));
    return written;
}

#define PWRITE(name)                                                      \
    ssize_t name(int fd, const void *data, size_t size, off64_t offset) { \
        int is_watched = watches_fd(fd);                                  \
        if (is_watched && admit('w') != 0)                                \
            return -1;                                                    \
        ssize_t written = syscall(SYS_pwrite64, fd, data, size, offset);  \
        if (written > 0 && is_watched)                                    \
            record_fd('w', fd, offset);                                   \
        return written;                                                   \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define FTRUNCATE(name)                                    \
    int name(int fd, off64_t size) {                       \
        int is_watched = watches_fd(fd);                   \
        if (is_watched && admit('t') != 0)                 \
            return -1;                                     \
        int result = (int)syscall(SYS_ftruncate, fd, size);\
        if (result == 0 && is_watched)                     \
            record_fd('t', fd, size);                      \
        return result;                                     \
    }
FTRUNCATE(ftruncate)
FTRUNCATE(ftruncate64)

int fsync(int fd) {
    int is_watched = watches_fd(fd);
    if (is_watched && admit('s') != 0)
        return -1;
    int result = (int)syscall(SYS_fsync, fd);
    if (result == 0 && is_watched)
        record_fd('s', fd, -1);
    return result;
}

int rename(const char *from, const char *to) {
    char path[PATH_MAX], new_path[PATH_MAX];
    if (shared == NULL)
        return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    absolute(AT_FDCWD, from, path);
    absolute(AT_FDCWD, to, new_path);
    int is_watched = is_below(path);
    if (is_watched && admit('r') != 0)
        return -1;
    unsigned long inode = is_watched ? inode_of(path) : 0, replaced = is_watched ? inode_of(new_path) : 0;
    if (is_watched)
        keep_file(new_path);
    int result = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (result == 0 && is_watched)
        record('r', inode, (long)replaced, path, new_path);
    return result;
}

static int removed(int dir_fd, const char *name, int flags) {
    char path[PATH_MAX];
    char kind = (flags & AT_REMOVEDIR) != 0 ? 'd' : 'u';
    if (shared == NULL)
        return (int)syscall(SYS_unlinkat, dir_fd, name, flags);
    absolute(dir_fd, name, path);
    int is_watched = is_below(path);
    if (is_watched && admit(kind) != 0)
        return -1;
    unsigned long inode = is_watched ? inode_of(path) : 0;
    if (is_watched && kind == 'u')
        keep_file(path);
    int result = (int)syscall(SYS_unlinkat, dir_fd, name, flags);
    if (result == 0 && is_watched)
        record(kind, inode, 0, path, "");
    return result;
}

int unlink(const char *name) {
    return removed(AT_FDCWD, name, 0);
}

int unlinkat(int dir_fd, const char *name, int flags) {
    return removed(dir_fd, name, flags);
}

int rmdir(const char *name) {
    return removed(AT_FDCWD, name, AT_REMOVEDIR);
}

int mkdir(const char *name, mode_t mode) {
    char path[PATH_MAX];
    if (shared != NULL) {
        absolute(AT_FDCWD, name, path);
        if (is_below(path) && inode_of(path) == 0 && admit('d') != 0)
            return -1;
    }
    return (int)syscall(SYS_mkdirat, AT_FDCWD, name, mode);
}
