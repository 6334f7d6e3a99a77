#include "model/query.h"
#include <inttypes.h>
#include <string.h>
#include "gen/errors.h"

/*
 * The expression becomes a list of steps over one truth value. `a and b` is: a,
 * "if false go past b", b. So no stack is needed to run it, and what cannot
 * change the outcome is not fetched.
 */
#define EXPR_MAX 65536
#define DEPTH_MAX 64
#define TEXT_MAX (1 << 20) /* of a value compared with */

struct side {
    const struct field *field; /* NULL: the text */
    const char *text;
};

struct step {
    enum { STEP_COMPARE, STEP_CONST, STEP_NOT, STEP_SKIP_IF } op;
    bool truth;    /* CONST: the value; SKIP_IF: skip on this */
    uint32_t next; /* SKIP_IF */
    struct side left, right;
};

struct query {
    const struct step *steps;
    size_t n;
};

enum token { T_END, T_TEXT, T_FIELD, T_AND, T_OR, T_NOT, T_TRUE, T_FALSE, T_OPEN, T_CLOSE, T_EQUALS, T_BAD };

struct parser {
    struct arena *arena;
    const struct model_class *class;
    const char *expr; /* whole, for messages */
    const char *p;
    enum token token;
    const char *text; /* of T_TEXT */
    struct step *steps;
    size_t n, depth;
};

static struct err *fail(const struct parser *p, const char *reason)
{
    return err_invalid_value(p->expr, reason);
}

static enum token word(struct parser *p)
{
    static const struct {
        const char *word;
        enum token token;
    } words[] = {
        { "field", T_FIELD },
        { "and", T_AND },
        { "or", T_OR },
        { "not", T_NOT },
        { "true", T_TRUE },
        { "false", T_FALSE },
    };

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (!cstr_starts(p->p, words[i].word))
            continue;
        p->p += strlen(words[i].word);
        return words[i].token;
    }
    return T_BAD;
}

static enum token quoted(struct parser *p)
{
    const char *end = strchr(p->p + 1, '"');

    if (!end)
        return T_BAD;
    p->text = arena_strndup(p->arena, p->p + 1, (size_t)(end - p->p) - 1);
    p->p = end + 1;
    return T_TEXT;
}

static void next(struct parser *p)
{
    p->p += strspn(p->p, " \t\n");
    switch (*p->p) {
    case '\0':
        p->token = T_END;
        return;
    case '"':
        p->token = quoted(p);
        return;
    case '=':
    case '(':
    case ')':
        p->token = *p->p == '=' ? T_EQUALS : *p->p == '(' ? T_OPEN : T_CLOSE;
        p->p++;
        return;
    default:
        p->token = word(p);
    }
}

static struct step *add(struct parser *p, int op)
{
    struct step *s = &p->steps[p->n++];

    s->op = op;
    return s;
}

static struct err *parse_side(struct parser *p, struct side *ret)
{
    struct side s = { 0 };
    bool is_field = p->token == T_FIELD;

    if (is_field)
        next(p);
    if (p->token != T_TEXT)
        return fail(p, is_field ? "expected the name of a field in double quotes" : "expected a value");
    if (is_field) {
        s.field = model_field_find(p->class, p->text);
        if (!s.field)
            return fail(p, arena_printf(p->arena, "class %s has no field %.100s", p->class->name, p->text));
    }
    s.text = p->text;
    next(p);
    *ret = s;
    return NULL;
}

static struct err *parse_compare(struct parser *p)
{
    struct side left, right;
    struct step *s;

    TRY(parse_side(p, &left));
    if (p->token != T_EQUALS)
        return fail(p, "expected =");
    next(p);
    TRY(parse_side(p, &right));
    s = add(p, STEP_COMPARE);
    s->left = left;
    s->right = right;
    return NULL;
}

static struct err *parse_expr(struct parser *p);

static struct err *parse_operand(struct parser *p)
{
    enum token token = p->token;

    switch (token) {
    case T_NOT: /* binds looser than what follows */
        next(p);
        TRY(parse_expr(p));
        add(p, STEP_NOT);
        return NULL;
    case T_OPEN:
        next(p);
        TRY(parse_expr(p));
        if (p->token != T_CLOSE)
            return fail(p, "expected )");
        next(p);
        return NULL;
    case T_TRUE:
    case T_FALSE:
        next(p);
        add(p, STEP_CONST)->truth = token == T_TRUE;
        return NULL;
    default:
        return parse_compare(p);
    }
}

/* `and` and `or` have one precedence and group to the left. */
static struct err *parse_expr(struct parser *p)
{
    if (++p->depth > DEPTH_MAX)
        return fail(p, "nested too deeply");
    TRY(parse_operand(p));
    while (p->token == T_AND || p->token == T_OR) {
        size_t skip = p->n;

        add(p, STEP_SKIP_IF)->truth = p->token == T_OR;
        next(p);
        TRY(parse_operand(p));
        p->steps[skip].next = (uint32_t)p->n;
    }
    p->depth--;
    return NULL;
}

struct err *query_parse(struct arena *a, const struct model_class *c, const char *expr, const struct query **ret)
{
    struct parser p = { .arena = a, .class = c, .expr = expr, .p = expr };
    size_t len = strnlen(expr, EXPR_MAX + 1);
    struct query *q;

    if (len > EXPR_MAX)
        return err_invalid_value("expr", "the expression is too long");
    p.steps = arena_new_array(a, len / 2 + 1, struct step); /* every step has at least two characters */
    next(&p);
    TRY(parse_expr(&p));
    if (p.token != T_END)
        return fail(&p, "unexpected text after the expression");

    q = arena_new_of(a, struct query);
    q->steps = p.steps;
    q->n = p.n;
    *ret = q;
    return NULL;
}

static void quote(struct buf *b, const char *s)
{
    buf_add_char(b, '\'');
    for (; *s; s++) {
        if (*s == '\'' || *s == '\\')
            buf_add_char(b, '\\');
        buf_add_char(b, *s);
    }
    buf_add_char(b, '\'');
}

static void scalar_text(const struct value *v, char *text, size_t size)
{
    switch (v->kind) {
    case V_BOOL:
        snprintf(text, size, "%s", v->b ? "true" : "false");
        return;
    case V_INT:
        snprintf(text, size, "%" PRId64, v->i);
        return;
    case V_FLOAT:
        snprintf(text, size, "%.16g", v->f);
        return;
    default:
        text[0] = '\0';
    }
}

static bool is_text(const struct value *v)
{
    return v->kind == V_STRING || v->kind == V_DATETIME;
}

static void nested_text(struct buf *b, const struct value *v)
{
    char text[32];

    if (v->kind == V_SET || v->kind == V_MAP) {
        query_text(b, v);
        return;
    }
    if (!is_text(v))
        scalar_text(v, text, sizeof(text));
    quote(b, is_text(v) ? v->s : text);
}

void query_text(struct buf *b, const struct value *v)
{
    char text[32];

    if (v->kind != V_SET && v->kind != V_MAP) {
        if (!is_text(v))
            scalar_text(v, text, sizeof(text));
        buf_add_c(b, is_text(v) ? v->s : text);
        return;
    }
    buf_add_char(b, '(');
    for (size_t i = 0; i < v->n; i++) {
        if (i)
            buf_add_char(b, ' ');
        if (v->kind == V_SET) {
            nested_text(b, &v->items[i]);
            continue;
        }
        buf_add_char(b, '(');
        nested_text(b, &v->items[2 * i]);
        buf_add_char(b, ' ');
        nested_text(b, &v->items[2 * i + 1]);
        buf_add_char(b, ')');
    }
    buf_add_char(b, ')');
}

/* Appends what the side stands for. */
static void side_text(struct buf *b, const struct side *s, query_get_fn *get, void *arg)
{
    if (s->field) {
        struct value v = get(arg, s->field);

        query_text(b, &v);
    } else {
        buf_add_c(b, s->text);
    }
}

static bool compare_texts(const struct step *s, query_get_fn *get, void *arg)
{
    AUTO(buf_done) struct buf left, right;

    buf_init(&left, TEXT_MAX);
    buf_init(&right, TEXT_MAX);
    side_text(&left, &s->left, get, arg);
    side_text(&right, &s->right, get, arg);
    return !left.overflow && !right.overflow && str_eq(buf_str(&left), buf_str(&right));
}

/* The usual case, a scalar field and a text, without building anything. */
static bool compare(const struct step *s, query_get_fn *get, void *arg)
{
    struct value v;
    char text[32];

    if (!s->left.field || s->right.field)
        return compare_texts(s, get, arg);
    v = get(arg, s->left.field);
    if (is_text(&v))
        return !strcmp(v.s, s->right.text);
    if (v.kind == V_SET || v.kind == V_MAP)
        return compare_texts(s, get, arg);
    scalar_text(&v, text, sizeof(text));
    return !strcmp(text, s->right.text);
}

bool query_match(const struct query *q, query_get_fn *get, void *arg)
{
    bool truth = false;

    for (size_t i = 0; i < q->n; i++) {
        const struct step *s = &q->steps[i];

        switch (s->op) {
        case STEP_COMPARE:
            truth = compare(s, get, arg);
            break;
        case STEP_CONST:
            truth = s->truth;
            break;
        case STEP_NOT:
            truth = !truth;
            break;
        case STEP_SKIP_IF:
            if (truth == s->truth)
                i = s->next - 1;
            break;
        }
    }
    return truth;
}
