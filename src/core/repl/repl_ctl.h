/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPL_CTL_H
#define REPL_CTL_H
/* The control half's own part of the engine (see repl_int.h, which includes this). */

struct repl_volume_ctl {
    int unused;
};

struct repl_ctl {
    int unused;
};

#endif
