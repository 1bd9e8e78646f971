/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REPL_DATA_H
#define REPL_DATA_H
/* The data half's own part of the engine (see repl_int.h, which includes this). */

struct repl_volume_data {
    int unused;
};

struct repl_data {
    int unused;
};

#endif
