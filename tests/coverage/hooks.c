/* hooks — linked into every program of `make coverage`: what a process has counted is written even
 * when it ends without a word. Workers leave by _exit(), and failpoints kill with raise(SIGKILL);
 * the linker sends both here (--wrap). Only a SIGKILL from outside still loses what was counted. */
#include <signal.h>

void __gcov_dump(void);
_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);
int __real_raise(int signal);
int __wrap_raise(int signal);

_Noreturn void __wrap__exit(int status)
{
    __gcov_dump();
    __real__exit(status);
}

int __wrap_raise(int signal)
{
    if (signal == SIGKILL)
        __gcov_dump();
    return __real_raise(signal);
}
