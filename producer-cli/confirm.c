#include "confirm.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

bool confirm(struct cli *cli, struct err *err, const char *what, ...)
{
    char question[512], answer[16] = "";
    va_list args;
    if (line_has(&cli->line, "yes"))
        return true;
    va_start(args, what);
    vsnprintf(question, sizeof question, what, args);
    va_end(args);
    if (!isatty(STDIN_FILENO))
        return usage_error(err, "%s? Nobody is there to ask: say --yes", question);
    out_text(&cli->say, STYLE_BOLD, "%s? [y/N] ", question);
    fflush(cli->say.to);
    if (fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
        return true;
    return usage_error(err, "nothing was done");
}
