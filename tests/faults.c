/* Counts every system call that changes what lies below a folder, and kills or fails at one of them.

   Preloaded into a process. The control page is shared by all processes of a run, so that events are
   numbered over all of them; each is written to a log: "number op path". */

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
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum { OBSERVE, KILL_SELF, KILL_GROUP, KILL_DRIVER, TEAR, FAIL, FAIL_FROM };

struct control {
  long count, at;
  int mode, error, driver;
};

static struct control *control;
static int log_descriptor = -1;
static char folder[PATH_MAX];
static size_t folder_length;

#define DESCRIPTORS 4096
static char *names[DESCRIPTORS];
static char writable[DESCRIPTORS];

#define REAL(type, name, ...)                       \
  static type (*real)(__VA_ARGS__);                 \
  if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

int faults_begin(const char *page, const char *below, const char *log) {
  int descriptor = syscall(SYS_openat, AT_FDCWD, page, O_RDWR | O_CLOEXEC, 0);
  if (descriptor < 0) return -1;
  control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  syscall(SYS_close, descriptor);
  log_descriptor = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  strncpy(folder, below, sizeof folder - 1);
  folder_length = strlen(folder);
  return control == MAP_FAILED ? -1 : 0;
}

__attribute__((constructor)) static void begin(void) {
  const char *page = getenv("FAULTS_PAGE"), *below = getenv("FAULTS_BELOW"), *log = getenv("FAULTS_LOG");
  if (page && below && log) faults_begin(page, below, log);
}

static const char *name_of(int descriptor) {
  return descriptor >= 0 && descriptor < DESCRIPTORS ? names[descriptor] : NULL;
}

static void forget(int descriptor) {
  if (name_of(descriptor)) {
    free(names[descriptor]);
    names[descriptor] = NULL;
  }
}

/* Return the full path where it lies below the folder, or is it; else NULL. */
static const char *inside(int at, const char *path, char *full) {
  if (!control || !path) return NULL;
  if (path[0] == '/') {
    snprintf(full, PATH_MAX, "%s", path);
  } else {
    const char *base = at == AT_FDCWD ? NULL : name_of(at);
    if (!base) return NULL;
    snprintf(full, PATH_MAX, "%s/%s", base, path);
  }
  if (strncmp(full, folder, folder_length)) return NULL;
  return full[folder_length] == '/' || full[folder_length] == 0 ? full : NULL;
}

static int takes_space(const char *op) {
  return !strcmp(op, "open") || !strcmp(op, "write") || !strcmp(op, "mkdir") || !strcmp(op, "truncate");
}

/* Count an event; return whether it is to fail. For writes ``data`` is given, of which half may be written. */
static int event(const char *op, const char *path, int descriptor, const void *data, size_t size, off_t offset) {
  char line[PATH_MAX + 64];
  long number = __atomic_add_fetch(&control->count, 1, __ATOMIC_SEQ_CST);
  int length = snprintf(line, sizeof line, "%ld %s %s\n", number, op, path);
  syscall(SYS_write, log_descriptor, line, length);
  if (control->mode == FAIL_FROM && number >= control->at &&
      (control->error != ENOSPC || takes_space(op))) {
    errno = control->error;
    return 1;
  }
  if (number != control->at) return 0;
  switch (control->mode) {
    case TEAR:
      if (data && offset >= 0) syscall(SYS_pwrite64, descriptor, data, size / 2, offset);
      else if (data) syscall(SYS_write, descriptor, data, size / 2);
      kill(getpid(), SIGKILL);
      break;
    case KILL_SELF: kill(getpid(), SIGKILL); break;
    case KILL_GROUP: kill(0, SIGKILL); break;
    case KILL_DRIVER:
      kill(control->driver, SIGKILL);
      break;
    case FAIL:
      errno = control->error;
      return 1;
  }
  return 0;
}

static int opened(int at, const char *path, int flags, mode_t mode) {
  REAL(int, "openat", int, const char *, int, mode_t);
  char full[PATH_MAX];
  int saved = errno;
  const char *name = inside(at, path, full);
  int writes = flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC);
  if (name && writes && event("open", name, -1, NULL, 0, -1)) return -1;
  errno = saved;
  int descriptor = real(at, path, flags, mode);
  if (descriptor >= 0 && descriptor < DESCRIPTORS) {
    forget(descriptor);
    if (name) {
      names[descriptor] = strdup(name);
      writable[descriptor] = writes != 0;
    }
  }
  return descriptor;
}

#define MODE(flags, mode)                           \
  mode_t mode = 0;                                  \
  if ((flags) & (O_CREAT | O_TMPFILE)) {            \
    va_list more;                                   \
    va_start(more, flags);                          \
    mode = va_arg(more, mode_t);                    \
    va_end(more);                                   \
  }

int open(const char *path, int flags, ...) { MODE(flags, mode) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, mode) return opened(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags, mode) return opened(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags, mode) return opened(at, path, flags, mode); }
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int __open_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }

int close(int descriptor) {
  REAL(int, "close", int);
  const char *name = name_of(descriptor);
  int failing = 0;
  if (name && control) {
    if (writable[descriptor]) failing = event("close", name, descriptor, NULL, 0, -1);
    forget(descriptor);
  }
  int error = errno, result = real(descriptor);
  if (failing) errno = error;
  return failing ? -1 : result;
}

int dup2(int from, int to) {
  REAL(int, "dup2", int, int);
  forget(to);
  return real(from, to);
}

int dup3(int from, int to, int flags) {
  REAL(int, "dup3", int, int, int);
  forget(to);
  return real(from, to, flags);
}

#define FAILS(op, descriptor, data, size, offset)   \
  (control && name_of(descriptor) && event(op, name_of(descriptor), descriptor, data, size, offset))

ssize_t write(int descriptor, const void *data, size_t size) {
  REAL(ssize_t, "write", int, const void *, size_t);
  return FAILS("write", descriptor, data, size, -1) ? -1 : real(descriptor, data, size);
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset) {
  REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
  return FAILS("write", descriptor, data, size, offset) ? -1 : real(descriptor, data, size, offset);
}

ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t offset) {
  REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
  return FAILS("write", descriptor, data, size, offset) ? -1 : real(descriptor, data, size, offset);
}

int fsync(int descriptor) {
  REAL(int, "fsync", int);
  return FAILS("fsync", descriptor, NULL, 0, -1) ? -1 : real(descriptor);
}

int fdatasync(int descriptor) {
  REAL(int, "fdatasync", int);
  return FAILS("fsync", descriptor, NULL, 0, -1) ? -1 : real(descriptor);
}

int ftruncate(int descriptor, off_t size) {
  REAL(int, "ftruncate", int, off_t);
  return FAILS("truncate", descriptor, NULL, 0, -1) ? -1 : real(descriptor, size);
}

int ftruncate64(int descriptor, off64_t size) {
  REAL(int, "ftruncate64", int, off64_t);
  return FAILS("truncate", descriptor, NULL, 0, -1) ? -1 : real(descriptor, size);
}

#define PATH_CALL(op, at, path)                                                \
  char full[PATH_MAX];                                                         \
  const char *name = inside(at, path, full);                                   \
  if (name && event(op, name, -1, NULL, 0, -1)) return -1

int rename(const char *from, const char *to) {
  REAL(int, "rename", const char *, const char *);
  PATH_CALL("rename", AT_FDCWD, to);
  return real(from, to);
}

int renameat(int at, const char *from, int there, const char *to) {
  REAL(int, "renameat", int, const char *, int, const char *);
  PATH_CALL("rename", there, to);
  return real(at, from, there, to);
}

int renameat2(int at, const char *from, int there, const char *to, unsigned flags) {
  REAL(int, "renameat2", int, const char *, int, const char *, unsigned);
  PATH_CALL("rename", there, to);
  return real(at, from, there, to, flags);
}

int unlink(const char *path) {
  REAL(int, "unlink", const char *);
  PATH_CALL("unlink", AT_FDCWD, path);
  return real(path);
}

int unlinkat(int at, const char *path, int flags) {
  REAL(int, "unlinkat", int, const char *, int);
  PATH_CALL(flags & AT_REMOVEDIR ? "rmdir" : "unlink", at, path);
  return real(at, path, flags);
}

int rmdir(const char *path) {
  REAL(int, "rmdir", const char *);
  PATH_CALL("rmdir", AT_FDCWD, path);
  return real(path);
}

int mkdir(const char *path, mode_t mode) {
  REAL(int, "mkdir", const char *, mode_t);
  PATH_CALL("mkdir", AT_FDCWD, path);
  return real(path, mode);
}

int mkdirat(int at, const char *path, mode_t mode) {
  REAL(int, "mkdirat", int, const char *, mode_t);
  PATH_CALL("mkdir", at, path);
  return real(at, path, mode);
}
