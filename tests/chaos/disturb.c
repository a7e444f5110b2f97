/* Preloaded into x2static by tests/chaos: sees every call that changes files below a folder, notes it, spoils the n-th.

   Settings stand in the environment, so that worker processes are disturbed too; disturb() reads them again in a fork.
     CHAOS_BELOW   the folder; it counts too
     CHAOS_WAY     note | fail | keep-failing | short | die-before | die-after | die-half
     CHAOS_KINDS   the letters of the calls that count: c create, w write, s sync, t truncate, n rename, l link,
                   m mkdir, u unlink, o open to read, r read
     CHAOS_AT      which of them is spoilt, counted from 1 in each process
     CHAOS_ERRNO   what a failing call says
     CHAOS_NOTES   where calls are noted (all of them by `note`, else the spoilt one): a line
                   "LETTER LENGTH OFFSET PATH<TAB>OTHER PATH", then LENGTH bytes of what was written
     CHAOS_SECONDS when the whole process group dies, whatever it does
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

enum way { NONE, NOTE, FAIL, KEEP_FAILING, SHORT, DIE_BEFORE, DIE_AFTER, DIE_HALF };
static const char *const WAYS[] = {"", "note", "fail", "keep-failing", "short", "die-before", "die-after", "die-half"};

static enum way way;
static char below[PATH_MAX], kinds[32];
static size_t below_length;
static long at;
static int code, notes = -1;
static atomic_long seen;
static pthread_mutex_t noting = PTHREAD_MUTEX_INITIALIZER;

static void die(int signal_number) { (void)signal_number; kill(0, SIGKILL); }

static const char *setting(const char *name) { const char *value = getenv(name); return value ? value : ""; }

__attribute__((constructor)) void disturb(void) {
    way = NONE;
    snprintf(below, sizeof below, "%s", setting("CHAOS_BELOW"));
    snprintf(kinds, sizeof kinds, "%s", setting("CHAOS_KINDS"));
    below_length = strlen(below);
    at = atol(setting("CHAOS_AT"));
    code = atoi(setting("CHAOS_ERRNO"));
    seen = 0;
    double seconds = atof(setting("CHAOS_SECONDS"));
    if (seconds > 0) {
        struct itimerval timer = {{0, 0}, {(time_t)seconds, (suseconds_t)((seconds - (time_t)seconds) * 1e6) + 1}};
        signal(SIGALRM, die);
        setitimer(ITIMER_REAL, &timer, NULL);
    }
    if (*setting("CHAOS_NOTES"))
        notes = (int)syscall(SYS_openat, AT_FDCWD, setting("CHAOS_NOTES"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    for (enum way w = NOTE; w <= DIE_HALF; w++)
        if (!strcmp(setting("CHAOS_WAY"), WAYS[w])) way = w;
}

/* The absolute path of what a call names; 0 where there is none. */
static int path_of(int folder, const char *name, char *path) {
    char link[64], base[PATH_MAX];
    if (name && *name == '/') return snprintf(path, PATH_MAX, "%s", name) < PATH_MAX;
    if (folder == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, base, sizeof base - 1);
    if (n < 0) return 0;
    base[n] = 0;
    return snprintf(path, PATH_MAX, name ? "%s/%s" : "%s", base, name) < PATH_MAX;
}

static void note(char kind, const char *path, const char *other, const void *data, size_t length, off_t offset) {
    char line[2 * PATH_MAX + 64];
    int n = snprintf(line, sizeof line, "%c %zu %lld %s\t%s\n", kind, length, (long long)offset, path, other ? other : "");
    struct iovec parts[2] = {{line, (size_t)n}, {(void *)data, length}};
    int before = errno;
    pthread_mutex_lock(&noting);
    syscall(SYS_writev, notes, parts, length ? 2 : 1);
    pthread_mutex_unlock(&noting);
    errno = before;
}

/* What is to become of this call. */
static enum way fate(char kind, const char *path) {
    if (strncmp(path, below, below_length) || (path[below_length] && path[below_length] != '/')) return NONE;
    if (way == NOTE) return NOTE;
    if (!strchr(kinds, kind)) return NONE;
    long n = ++seen;
    if (way == KEEP_FAILING ? n < at : n != at) return NONE;
    if (way == SHORT && kind != 'w') return NONE;
    if (notes >= 0 && n == at) note(kind, path, NULL, NULL, 0, 0);
    if (way == DIE_BEFORE) die(0);
    return way;
}

#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define HALVES(w) ((w) == SHORT || (w) == DIE_HALF)

/* A call on KIND of file at PATH: DO it, and NOTE_IT when it went well. */
#define SPOILT(type, kind, has_path, shorten, do_it, note_it) \
    char path[PATH_MAX]; \
    enum way w = way && (has_path) ? fate(kind, path) : NONE; \
    if (w == FAIL || w == KEEP_FAILING) { errno = code; return -1; } \
    if (HALVES(w)) { shorten; } \
    type result = do_it; \
    if (w == NOTE && result >= 0) { note_it; } \
    if (w == DIE_AFTER || w == DIE_HALF) die(0); \
    return result

#define NOTED(kind) note(kind, path, NULL, NULL, 0, 0)
#define CHANGES(flags) ((flags) & (O_CREAT | O_TRUNC))
#define OPENING(folder, do_it) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { va_list list; va_start(list, flags); mode = va_arg(list, mode_t); va_end(list); } \
    SPOILT(int, CHANGES(flags) ? 'c' : 'o', path_of(folder, name, path), , do_it, \
           if (CHANGES(flags)) note(flags & O_TRUNC ? 't' : 'c', path, NULL, NULL, 0, 0))

int open(const char *name, int flags, ...) { REAL(open); OPENING(AT_FDCWD, real(name, flags, mode)); }
int open64(const char *name, int flags, ...) { REAL(open64); OPENING(AT_FDCWD, real(name, flags, mode)); }
int openat(int folder, const char *name, int flags, ...) { REAL(openat); OPENING(folder, real(folder, name, flags, mode)); }
int openat64(int folder, const char *name, int flags, ...) { REAL(openat64); OPENING(folder, real(folder, name, flags, mode)); }

#define HERE(fd) (lseek(fd, 0, SEEK_CUR) - result)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    SPOILT(ssize_t, 'w', path_of(fd, NULL, path), size = (size + 1) / 2, real(fd, data, size),
           note('w', path, NULL, data, (size_t)result, HERE(fd)));
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    REAL(pwrite);
    SPOILT(ssize_t, 'w', path_of(fd, NULL, path), size = (size + 1) / 2, real(fd, data, size, offset),
           note('w', path, NULL, data, (size_t)result, offset));
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    REAL(pwrite64);
    SPOILT(ssize_t, 'w', path_of(fd, NULL, path), size = (size + 1) / 2, real(fd, data, size, offset),
           note('w', path, NULL, data, (size_t)result, offset));
}

/* What the kernel copies for us is noted by reading it back. */
static void note_back(int fd, const char *path, size_t length, off_t offset) {
    char *data = malloc(length + 1), own[64];
    snprintf(own, sizeof own, "/proc/self/fd/%d", fd);
    int again = (int)syscall(SYS_openat, AT_FDCWD, own, O_RDONLY | O_CLOEXEC);
    ssize_t n = again < 0 || !data ? -1 : (ssize_t)syscall(SYS_pread64, again, data, length, offset);
    if (n > 0) note('w', path, NULL, data, (size_t)n, offset);
    if (again >= 0) syscall(SYS_close, again);
    free(data);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    SPOILT(ssize_t, 'w', path_of(fd, NULL, path), if (count > 1) count /= 2, real(fd, parts, count),
           note_back(fd, path, (size_t)result, HERE(fd)));
}
ssize_t sendfile(int fd, int source, off_t *offset, size_t size) {
    REAL(sendfile);
    SPOILT(ssize_t, 'w', path_of(fd, NULL, path), size = (size + 1) / 2, real(fd, source, offset, size),
           note_back(fd, path, (size_t)result, HERE(fd)));
}
ssize_t sendfile64(int fd, int source, off64_t *offset, size_t size) {
    REAL(sendfile64);
    SPOILT(ssize_t, 'w', path_of(fd, NULL, path), size = (size + 1) / 2, real(fd, source, offset, size),
           note_back(fd, path, (size_t)result, HERE(fd)));
}
ssize_t copy_file_range(int source, off64_t *from, int fd, off64_t *to, size_t size, unsigned flags) {
    REAL(copy_file_range);
    off64_t start = to ? *to : -1;
    SPOILT(ssize_t, 'w', path_of(fd, NULL, path), size = (size + 1) / 2, real(source, from, fd, to, size, flags),
           note_back(fd, path, (size_t)result, start < 0 ? HERE(fd) : start));
}

ssize_t read(int fd, void *data, size_t size) {
    REAL(read);
    SPOILT(ssize_t, 'r', path_of(fd, NULL, path), , real(fd, data, size), );
}
ssize_t pread64(int fd, void *data, size_t size, off64_t offset) {
    REAL(pread64);
    SPOILT(ssize_t, 'r', path_of(fd, NULL, path), , real(fd, data, size, offset), );
}

int fsync(int fd) { REAL(fsync); SPOILT(int, 's', path_of(fd, NULL, path), , real(fd), NOTED('s')); }
int fdatasync(int fd) { REAL(fdatasync); SPOILT(int, 's', path_of(fd, NULL, path), , real(fd), NOTED('s')); }

#define RESIZED note('z', path, NULL, NULL, 0, size)
int ftruncate(int fd, off_t size) { REAL(ftruncate); SPOILT(int, 't', path_of(fd, NULL, path), , real(fd, size), RESIZED); }
int ftruncate64(int fd, off64_t size) { REAL(ftruncate64); SPOILT(int, 't', path_of(fd, NULL, path), , real(fd, size), RESIZED); }

#define TWO_PATHS(kind, from_folder, from, to_folder, to, do_it) \
    char source[PATH_MAX]; \
    if (!path_of(from_folder, from, source)) *source = 0; \
    SPOILT(int, kind, path_of(to_folder, to, path), , do_it, note(kind, path, source, NULL, 0, 0))
int rename(const char *a, const char *b) { REAL(rename); TWO_PATHS('n', AT_FDCWD, a, AT_FDCWD, b, real(a, b)); }
int renameat(int x, const char *a, int y, const char *b) { REAL(renameat); TWO_PATHS('n', x, a, y, b, real(x, a, y, b)); }
int link(const char *a, const char *b) { REAL(link); TWO_PATHS('l', AT_FDCWD, a, AT_FDCWD, b, real(a, b)); }
int linkat(int x, const char *a, int y, const char *b, int flags) {
    REAL(linkat);
    TWO_PATHS('l', x, a, y, b, real(x, a, y, b, flags));
}
int mkdir(const char *a, mode_t mode) { REAL(mkdir); SPOILT(int, 'm', path_of(AT_FDCWD, a, path), , real(a, mode), NOTED('m')); }
int mkdirat(int x, const char *a, mode_t mode) { REAL(mkdirat); SPOILT(int, 'm', path_of(x, a, path), , real(x, a, mode), NOTED('m')); }
int unlink(const char *a) { REAL(unlink); SPOILT(int, 'u', path_of(AT_FDCWD, a, path), , real(a), NOTED('u')); }
int rmdir(const char *a) { REAL(rmdir); SPOILT(int, 'u', path_of(AT_FDCWD, a, path), , real(a), NOTED('u')); }
int unlinkat(int x, const char *a, int flags) { REAL(unlinkat); SPOILT(int, 'u', path_of(x, a, path), , real(x, a, flags), NOTED('u')); }
