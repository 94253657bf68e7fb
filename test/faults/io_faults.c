/* A library to preload: lets a system call on a regular file fail, or the clock jump.
 *
 *   BITNET_FAULT_CALL   write, sync or rename
 *   BITNET_FAULT_AT     number of the call that fails, from 1 on; all later ones fail too where BITNET_FAULT_ALWAYS is set
 *   BITNET_FAULT_ERRNO  for example 28, no space left on device; 5, input/output error
 *   BITNET_FAULT_CLOCK  seconds by which the wall clock jumps to and fro, one way each other call
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static atomic_long calls;

static int fails(const char *call, int fd) {
  const char *wanted = getenv("BITNET_FAULT_CALL"), *at = getenv("BITNET_FAULT_AT");
  if (!wanted || !at || strcmp(wanted, call)) return 0;
  struct stat info;
  if (fd >= 0 && (fstat(fd, &info) || !S_ISREG(info.st_mode))) return 0;
  const long number = atomic_fetch_add(&calls, 1) + 1, first = atol(at);
  if (getenv("BITNET_FAULT_ALWAYS") ? number < first : number != first) return 0;
  errno = atoi(getenv("BITNET_FAULT_ERRNO"));
  return 1;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t n) { return fails("write", fd) ? -1 : NEXT(write)(fd, data, n); }
ssize_t writev(int fd, const struct iovec *v, int n) { return fails("write", fd) ? -1 : NEXT(writev)(fd, v, n); }
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) {
  return fails("write", fd) ? -1 : NEXT(pwrite64)(fd, data, n, at);
}
ssize_t pwritev64(int fd, const struct iovec *v, int n, off64_t at) {
  return fails("write", fd) ? -1 : NEXT(pwritev64)(fd, v, n, at);
}
// The addon writes through streams, whose own calls cannot be stood in for.
size_t fwrite(const void *data, size_t size, size_t n, FILE *stream) {
  return fails("write", fileno(stream)) ? 0 : NEXT(fwrite)(data, size, n, stream);
}
int fsync(int fd) { return fails("sync", fd) ? -1 : NEXT(fsync)(fd); }
int fdatasync(int fd) { return fails("sync", fd) ? -1 : NEXT(fdatasync)(fd); }
int rename(const char *from, const char *to) { return fails("rename", -1) ? -1 : NEXT(rename)(from, to); }

static long jump(void) {
  static atomic_long turns;
  const char *seconds = getenv("BITNET_FAULT_CLOCK");
  return seconds && atomic_fetch_add(&turns, 1) % 2 ? atol(seconds) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *t) {
  const int result = NEXT(clock_gettime)(clock, t);
  if (!result && clock == CLOCK_REALTIME) t->tv_sec += jump();
  return result;
}

int gettimeofday(struct timeval *t, void *zone) {
  static int (*next)(struct timeval *, void *);
  if (!next) next = (int (*)(struct timeval *, void *))dlsym(RTLD_NEXT, "gettimeofday");
  const int result = next(t, zone);
  if (!result && t) t->tv_sec += jump();
  return result;
}
