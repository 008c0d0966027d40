/* As much of a JSON reader as manifests and golden vectors need: values are places in the text, which has to be
   well-formed. A value that is not there is NULL, and what is asked of NULL is NULL or nothing. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>

/* Give the value of an object's member. */
const char *json_member(const char *object, const char *key);

/* Give the first value of an array, and the one behind a value. */
const char *json_first(const char *array);
const char *json_next(const char *value);

/* Copy a string without escapes; cut it where there is no more room. */
void json_string(const char *value, char *text, size_t room);

bool json_is(const char *value, const char *text);
double json_number(const char *value);

#endif
