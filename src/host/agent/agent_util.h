/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AGENT_UTIL_H
#define AGENT_UTIL_H
/* Small things that several agents need. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent.h"

uint64_t agent_clock_ms(void);
void agent_sleep_ms(uint32_t ms);

/* root + path; false when too long. */
bool agent_path(char to[AGENT_PATH_BYTES], const struct agent_request *r, const char *path);
int agent_make_directory(const char *path); /* with its parents */
/* Replaces the file at once: a reader sees the old or the new text.  0 or -errno. */
int agent_write_file(const char *path, const char *text);
/* At most capacity - 1 bytes, NUL-terminated; how many, or -errno. */
ssize_t agent_read_file(const char *path, char *to, size_t capacity);

/* A process that outlives us: a session of its own, files to /dev/null.  Returns its id as soon as it
 * was forked; what exec() says goes to errno's place: -errno. */
pid_t agent_spawn_daemon(char *const argv[]);
/* Does fork(): true in the child, which belongs to nobody and has no standard files. */
bool agent_leave_behind(void);

/* Runs a program to its end and gathers what it says; its exit code, 128 + signal, or -errno.
 * out is NUL-terminated. */
int agent_run_program(const char *path, char *const argv[], char *out, size_t capacity);

pid_t agent_pid_of_file(const char *pid_file); /* 0: none, or no such process */
/* SIGKILL, and waits until it is gone. */
void agent_kill_and_wait(pid_t pid);

#endif
