#include "cli/ask.h"
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define SECRET_MAX 4096

struct err *ask_secret(struct xe *x, const char *prompt, const char **ret)
{
    char *text = arena_alloc(x->arena, SECRET_MAX);
    struct termios old, quiet;
    bool tty = tcgetattr(STDIN_FILENO, &old) == 0;

    if (tty) {
        quiet = old;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet); /* before the prompt: what is typed to it is not thrown away */
        fprintf(stderr, "%s: ", prompt);
    }
    char *got = fgets(text, SECRET_MAX, stdin);
    if (tty) {
        tcsetattr(STDIN_FILENO, TCSADRAIN, &old);
        fputs("\n", stderr);
    }
    if (!got)
        return usage("nothing was given where a secret is needed");
    if (strlen(text) == SECRET_MAX - 1)
        return usage("the secret is longer than %d bytes", SECRET_MAX - 2);
    text[strcspn(text, "\r\n")] = 0;
    *ret = text;
    return NULL;
}

struct err *ask_new_secret(struct xe *x, const char *prompt, const char **ret)
{
    const char *first = NULL, *again = NULL;

    TRY(ask_secret(x, prompt, &first));
    if (isatty(STDIN_FILENO)) {
        TRY(ask_secret(x, "The same again", &again));
        if (strcmp(first, again) != 0)
            return usage("the two differ: nothing was changed");
    }
    *ret = first;
    return NULL;
}
