#include "base/uuid.h"
#include <string.h>
#include "test.h"

TEST(made_uuids_are_valid_and_different)
{
    char a[UUID_LEN + 1], b[UUID_LEN + 1];

    uuid_make(a);
    uuid_make(b);
    CHECK_INT(strlen(a), 36);
    CHECK(uuid_valid(a) && uuid_valid(b));
    CHECK(strcmp(a, b) != 0);
    CHECK(a[14] == '4' && strchr("89ab", a[19]));
}

TEST(malformed_uuids_are_refused)
{
    CHECK(uuid_valid("01234567-89ab-cdef-0123-456789abcdef"));
    CHECK(!uuid_valid(NULL) && !uuid_valid(""));
    CHECK(!uuid_valid("01234567-89ab-cdef-0123-456789abcde"));
    CHECK(!uuid_valid("01234567-89ab-cdef-0123-456789abcdef0"));
    CHECK(!uuid_valid("01234567-89AB-cdef-0123-456789abcdef"));
    CHECK(!uuid_valid("0123456789ab-cdef-0123-456789abcdef-"));
}
