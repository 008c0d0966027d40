#include "json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *blank(const char *at)
{
    return at + strspn(at, " \t\r\n,:");
}

/* Give the place behind a value. */
static const char *behind(const char *at)
{
    if (*at == '"') {
        for (at++; *at && *at != '"'; at++)
            if (*at == '\\' && at[1]) at++;
        return *at ? at + 1 : at;
    }
    if (*at != '{' && *at != '[') return at + strcspn(at, ",]} \t\r\n");
    for (at = blank(at + 1); *at && *at != '}' && *at != ']';) at = blank(behind(at));
    return *at ? at + 1 : at;
}

static const char *existing(const char *at)
{
    return *at && *at != ']' && *at != '}' ? at : NULL;
}

const char *json_first(const char *array)
{
    return array && (*array == '[' || *array == '{') ? existing(blank(array + 1)) : NULL;
}

const char *json_next(const char *value)
{
    return value ? existing(blank(behind(value))) : NULL;
}

const char *json_member(const char *object, const char *key)
{
    for (const char *name = json_first(object); name; name = json_next(json_next(name)))
        if (json_is(name, key)) return json_next(name);
    return NULL;
}

void json_string(const char *value, char *text, size_t room)
{
    size_t length = value && *value == '"' ? (size_t)(behind(value) - value) - 2 : 0;
    if (length >= room) length = room - 1;
    if (length) memcpy(text, value + 1, length);
    text[length] = 0;
}

bool json_is(const char *value, const char *text)
{
    size_t length = strlen(text);
    return value && *value == '"' && !strncmp(value + 1, text, length) && value[1 + length] == '"';
}

double json_number(const char *value)
{
    return value ? strtod(value, NULL) : NAN;
}
