#include "core/json_value.h"

#include <assert.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* Trees that were parsed are JSON_DEPTH_MAX deep at most. */
void json_value_wipe(json_t *v)
{
    const char *key;
    size_t i;
    json_t *item;
    if (json_is_string(v))
        sodium_memzero((char *)(uintptr_t)json_string_value(v), json_string_length(v));
    json_array_foreach(v, i, item) json_value_wipe(item);
    json_object_foreach(v, key, item) json_value_wipe(item);
}

static bool object_equal(const json_t *a, const json_t *b, int64_t *steps)
{
    const char *key;
    json_t *v;
    if (json_object_size(a) != json_object_size(b))
        return false;
    json_object_foreach((json_t *)a, key, v)
    {
        const json_t *other = json_object_get(b, key);
        if (!other || !json_value_equal(v, other, steps))
            return false;
    }
    return true;
}

static bool array_equal(const json_t *a, const json_t *b, int64_t *steps)
{
    if (json_array_size(a) != json_array_size(b))
        return false;
    for (size_t i = 0; i < json_array_size(a); i++)
        if (!json_value_equal(json_array_get(a, i), json_array_get(b, i), steps))
            return false;
    return true;
}

bool json_value_equal(const json_t *a, const json_t *b, int64_t *steps)
{
    if (*steps <= 0)
        return false;
    --*steps;
    if (json_is_number(a) && json_is_number(b))
        return json_number_compare(a, b) == 0;
    if (json_typeof(a) != json_typeof(b))
        return false;
    if (json_is_string(a))
        return json_string_length(a) == json_string_length(b) &&
               !memcmp(json_string_value(a), json_string_value(b), json_string_length(a));
    if (json_is_object(a))
        return object_equal(a, b, steps);
    return !json_is_array(a) || array_equal(a, b, steps);
}

static int sign_of(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_mixed(int64_t i, double d)
{
    if (d >= 9223372036854775808.0)
        return -1;
    if (d < -9223372036854775808.0)
        return 1;
    double down = floor(d);
    int order = sign_of(i, (int64_t)down);
    return order ? order : down < d ? -1 : 0;
}

int json_number_compare(const json_t *a, const json_t *b)
{
    if (json_is_integer(a) && json_is_integer(b))
        return sign_of(json_integer_value(a), json_integer_value(b));
    if (json_is_integer(a))
        return compare_mixed(json_integer_value(a), json_real_value(b));
    if (json_is_integer(b))
        return -compare_mixed(json_integer_value(b), json_real_value(a));
    double x = json_real_value(a), y = json_real_value(b);
    return x < y ? -1 : x > y;
}

bool json_number_integral(const json_t *v)
{
    return json_is_integer(v) ||
           (json_is_real(v) && json_real_value(v) == floor(json_real_value(v)));
}

/* ---- multiples. A number is digits × 10^exponent, the digits being the fewest that name the
 * double: what the sender wrote, unless it wrote more digits than a double holds. */

struct decimal {
    uint64_t digits;
    int exponent;
};

static struct decimal decimal_of_real(double d)
{
    char text[32];
    int precision = 14; /* digits after the first; 15 are always exact, 17 always enough */
    do
        snprintf(text, sizeof text, "%.*e", precision, d);
    while (strtod(text, NULL) != d && ++precision <= 16);
    struct decimal r = {0, 0};
    const char *p = text;
    for (int fraction = 0; *p && *p != 'e'; p++) {
        fraction |= *p == '.';
        if (*p < '0' || *p > '9')
            continue;
        r.digits = r.digits * 10 + (uint64_t)(*p - '0');
        r.exponent -= fraction;
    }
    r.exponent += *p ? (int)strtol(p + 1, NULL, 10) : 0;
    return r;
}

static struct decimal decimal_of(const json_t *v)
{
    struct decimal r = {0, 0};
    if (json_is_real(v)) {
        r = decimal_of_real(fabs(json_real_value(v)));
    } else {
        int64_t i = json_integer_value(v);
        r.digits = i < 0 ? -(uint64_t)i : (uint64_t)i;
    }
    while (r.digits > 0 && r.digits % 10 == 0) {
        r.digits /= 10;
        r.exponent++;
    }
    return r;
}

bool json_number_multiple(const json_t *v, const json_t *step)
{
    struct decimal a = decimal_of(v), b = decimal_of(step);
    assert(b.digits > 0);
    if (a.digits == 0)
        return true;
    int shift = a.exponent - b.exponent;
    /* Beyond 19 places the step's digits × 10^places exceed any 64-bit digits. */
    if (shift < -19)
        return false;
    unsigned __int128 step_digits = b.digits;
    for (; shift < 0; shift++)
        step_digits *= 10;
    unsigned __int128 rest = a.digits % step_digits;
    for (; shift > 0 && rest != 0; shift--) /* here step_digits is b.digits: no overflow */
        rest = rest * 10 % step_digits;
    return rest == 0;
}
