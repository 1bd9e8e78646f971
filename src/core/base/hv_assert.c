/* SPDX-License-Identifier: Apache-2.0 */
#include "hv_assert.h"

#include <stdlib.h>

static hv_assert_hook assert_hook;

void hv_assert_set_hook(hv_assert_hook hook)
{
    assert_hook = hook;
}

_Noreturn void hv_assert_fail(const char *expr, const char *file, int line)
{
    if (assert_hook)
        assert_hook(expr, file, line);
    abort();
}
