#include "screen.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define HOME "\033[H"
#define REST_OF_LINE "\033[K"
#define REST_OF_SCREEN "\033[J"

void screen_init(struct screen *s, FILE *to)
{
    *s = (struct screen){.to = to, .is_terminal = isatty(fileno(to))};
}

FILE *screen_begin(struct screen *s, struct err *err)
{
    s->page = open_memstream(&s->text, &s->n);
    if (!s->page)
        (void)err_set(err, ERR_NO_MEMORY, "screen");
    return s->page;
}

/* 0: unknown, as of a terminal that does not tell. */
static size_t height(const struct screen *s)
{
    struct winsize size = {0};
    return ioctl(fileno(s->to), TIOCGWINSZ, &size) ? 0 : size.ws_row;
}

/* Each line over what stood there. The last line of the terminal stays free: a line end on it
 * would scroll. */
static void draw(struct screen *s)
{
    size_t rows = height(s), row = 1;
    fputs(s->drawn ? HOME : HOME REST_OF_SCREEN, s->to);
    for (const char *at = s->text, *end; *at && (!rows || row < rows); at = end + 1, row++) {
        end = strchr(at, '\n');
        size_t n = end ? (size_t)(end - at) : strlen(at);
        fwrite(at, 1, n, s->to);
        fputs(REST_OF_LINE "\n", s->to);
        if (!end)
            break;
    }
    fputs(REST_OF_SCREEN, s->to);
}

bool screen_end(struct screen *s)
{
    bool ok = s->page && !fclose(take(s->page));
    if (ok && s->is_terminal)
        draw(s);
    else if (ok)
        fprintf(s->to, "%s%s", s->drawn ? "\n" : "", s->text);
    s->drawn = true;
    free(take(s->text));
    return ok && !fflush(s->to) && !ferror(s->to);
}

void screen_done(struct screen *s)
{
    if (s->page)
        (void)fclose(take(s->page));
    free(take(s->text));
}
