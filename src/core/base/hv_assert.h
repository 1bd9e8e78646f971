/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HV_ASSERT_H
#define HV_ASSERT_H
/* Always on.  For what only a mistake of our own can make false: bytes from a peer, a disk, a file or
 * a command line must never reach one.  The hook (set by host programs) may log; it must not return
 * into the engine, and the process aborts if it does. */
typedef void (*hv_assert_hook)(const char *expr, const char *file, int line);

void hv_assert_set_hook(hv_assert_hook hook);
_Noreturn void hv_assert_fail(const char *expr, const char *file, int line);

#define hv_assert(expr) ((expr) ? (void)0 : hv_assert_fail(#expr, __FILE__, __LINE__))

#endif
