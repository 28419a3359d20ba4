#include "private_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

bool private_file_write(const char *path, const void *p, size_t n, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set(err, ERR_BAD_INPUT, "cannot make %.256s: %m", path);
    bool ok = true;
    for (size_t done = 0; ok && done < n;) {
        ssize_t written = write(fd, (const char *)p + done, n - done);
        ok = written > 0 || (written < 0 && errno == EINTR);
        done += written > 0 ? (size_t)written : 0;
    }
    if (close(fd) != 0)
        ok = false;
    if (!ok)
        (void)unlink(path);
    return ok || err_set(err, ERR_IO, "cannot write %.256s", path);
}

static bool check_private(int fd, const char *path, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return err_set(err, ERR_IO, "%.256s: %m", path);
    if (!S_ISREG(st.st_mode) || (st.st_mode & 077) || (st.st_uid != 0 && st.st_uid != geteuid()))
        return err_set(err, ERR_BAD_INPUT,
                       "%.256s is no file of yours with mode 0600: others could have read it",
                       path);
    return true;
}

static bool read_some(int fd, const char *path, char *out, size_t most, size_t *out_n,
                      struct err *err)
{
    size_t n = 0;
    if (!check_private(fd, path, err))
        return false;
    for (;;) {
        ssize_t got = read(fd, out + n, most + 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set(err, ERR_IO, "%.256s: %m", path);
        n += (size_t)got;
        if (got == 0 || n > most)
            break;
    }
    if (n > most)
        return err_set(err, ERR_BAD_INPUT, "%.256s: more than %zu bytes", path, most);
    out[n] = 0;
    *out_n = n;
    return true;
}

bool private_file_read(const char *path, char *out, size_t most, size_t *out_n, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%.256s: %m", path);
    bool ok = read_some(fd, path, out, most, out_n, err);
    return (close(fd) == 0 || ok) && ok;
}
