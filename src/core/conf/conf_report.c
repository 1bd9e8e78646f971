/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf_note.h"

enum { REPORT_TEXT_MAX = 512 };

void conf_report_format(const struct conf_report *report, struct hv_text *out)
{
    if (report->file[0]) {
        hv_text_add(out, report->file);
        if (report->line)
            hv_text_addf(out, ":%u", report->line);
        hv_text_add(out, ": ");
    }
    if (report->severity == CONF_WARNING)
        hv_text_add(out, "warning: ");
    hv_text_add(out, report->text);
    if (report->hint[0])
        hv_text_addf(out, "; %s", report->hint);
}

static void note(struct conf_notes *notes, enum conf_severity severity, struct conf_pos pos,
    const char *hint, const char *fmt, va_list ap)
{
    char text[REPORT_TEXT_MAX];
    struct conf_reports *reports = notes->reports;

    vsnprintf(text, sizeof text, fmt, ap);
    if (severity == CONF_ERROR)
        reports->errors++;
    if (reports->n >= CONF_REPORTS_MAX)
        return;
    struct conf_report *r = CONF_PUSH(notes->arena, reports->items, reports->n);
    *r = (struct conf_report){.severity = severity,
        .file = pos.file ? pos.file : "",
        .line = pos.line,
        .text = conf_strdup(notes->arena, text),
        .hint = hint ? conf_strdup(notes->arena, hint) : ""};
}

void conf_error(
    struct conf_notes *notes, struct conf_pos pos, const char *hint, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    note(notes, CONF_ERROR, pos, hint, fmt, ap);
    va_end(ap);
}

void conf_warn(
    struct conf_notes *notes, struct conf_pos pos, const char *hint, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    note(notes, CONF_WARNING, pos, hint, fmt, ap);
    va_end(ap);
}

const char *conf_did_you_mean(
    struct conf_notes *notes, const char *word, const char *const *candidates, size_t n)
{
    const char *near = hv_nearest(word, candidates, n);

    return near ? conf_sprintf(notes->arena, "did you mean '%s'?", near) : NULL;
}

const char *conf_one_of(struct conf_notes *notes, const char *const *words, size_t n)
{
    struct hv_text t = {0};

    hv_text_add(&t, "use ");
    for (size_t i = 0; i < n; i++)
        hv_text_addf(&t, "%s%s", i ? (i + 1 == n ? " or " : ", ") : "", words[i]);
    char *copy = conf_strdup(notes->arena, hv_text_str(&t));
    hv_text_free(&t);
    return copy;
}
