/* SPDX-License-Identifier: Apache-2.0 */
/* Writing metadata: the superblock, one write at a time, and bitmap pages, each page once at a time (disk
 * §2.2, §4). */
#include <string.h>

#include "repl_control.h"

enum { MD_LATEST_MS = 5000 };

/* --- superblock --- */

void repl_md_mark(struct repl_volume *v)
{
    v->ctl.md.dirty = true;
    if (!repl_volume_timer_armed(v, REPL_VT_MD))
        repl_volume_timer_set(v, REPL_VT_MD, v->r->now_ms + MD_LATEST_MS);
}

static void superblock_written(struct repl_volume *v, void *arg, int error, struct hv_buf *buf)
{
    struct repl_md_ctl *m = &v->ctl.md;
    struct repl_md_waiter waiter[REPL_MD_WAITERS];
    uint32_t n = m->waiting_now;

    memcpy(waiter, m->now, n * sizeof *waiter);
    m->waiting_now = 0;
    m->writing = false;
    if (error)
        repl_disk_failed(v, REPL_DISK_META, v->layout.sb_sector);
    for (uint32_t i = 0; i < n; i++)
        if (waiter[i].done)
            waiter[i].done(v, waiter[i].arg, error);
}

static void superblock_write(struct repl_volume *v)
{
    struct repl_md_ctl *m = &v->ctl.md;
    struct hv_buf *buf = hv_buf_alloc(v->r->config.bufs, MD_BLOCK_BYTES);
    struct md_superblock sb = v->md;
    uint32_t flags = v->config.disk.md_flushes ? REPL_IO_PREFLUSH | REPL_IO_FUA : 0;

    if (!buf)
        return; /* as soon as one comes back */
    if (v->size_sectors)
        sb.la_size_sectors = v->size_sectors;
    sb.magic = MD_MAGIC_UNCLEAN;
    sb.flags &= ~(uint32_t)MDF_AL_CLEAN;
    md_encode(&sb, buf->data);
    buf->length_bytes = MD_BLOCK_BYTES;
    memcpy(m->now, m->next, m->waiting_next * sizeof *m->next);
    m->waiting_now = m->waiting_next;
    m->waiting_next = 0;
    m->dirty = false;
    m->writing = true;
    repl_volume_timer_clear(v, REPL_VT_MD);
    repl_io(v, REPL_FX_MD_WRITE, v->layout.sb_sector, buf, 0, MD_BLOCK_BYTES, flags,
        superblock_written, NULL);
}

void repl_md_sync(struct repl_volume *v, repl_md_fn done, void *arg)
{
    struct repl_md_ctl *m = &v->ctl.md;

    if (!v->disk_open || v->ctl.att.phase != REPL_ATT_IDLE) {
        if (done)
            done(v, arg, v->disk_open ? 0 : HV_ESTATE);
        return;
    }
    if (!m->dirty && !m->writing) {
        if (done)
            done(v, arg, 0);
        return;
    }
    if (m->dirty || done) {
        hv_assert(m->waiting_next < REPL_MD_WAITERS);
        m->next[m->waiting_next++] = (struct repl_md_waiter){.done = done, .arg = arg};
    }
    repl_md_pump(v);
}

void repl_md_timer(struct repl_volume *v)
{
    if (v->ctl.md.dirty)
        repl_md_sync(v, NULL, NULL);
}

/* --- bitmap --- */

/* The oldest bitmap write under way, or UINT64_MAX. */
static uint64_t oldest_write(const struct repl_md_ctl *m)
{
    uint64_t oldest = UINT64_MAX;

    for (int i = 0; i < REPL_BM_WRITES; i++)
        if (m->write[i].busy && m->write[i].number < oldest)
            oldest = m->write[i].number;
    return oldest;
}

static bool page_in_flight(const struct repl_md_ctl *m, uint32_t page)
{
    for (int i = 0; i < REPL_BM_WRITES; i++)
        if (m->write[i].busy && page - m->write[i].first_page < m->write[i].pages)
            return true;
    return false;
}

static struct repl_bm_write *free_write(struct repl_md_ctl *m)
{
    for (int i = 0; i < REPL_BM_WRITES; i++)
        if (!m->write[i].busy)
            return &m->write[i];
    return NULL;
}

static void pages_written(struct repl_volume *v, void *arg, int error, struct hv_buf *buf)
{
    struct repl_bm_write *w = arg;
    struct repl_md_ctl *m = &v->ctl.md;

    w->busy = false;
    if (!error)
        return;
    for (uint32_t i = 0; i < w->pages; i++)
        if (w->first_page + i < v->bm.pages)
            bitmap_page_dirty(&v->bm, w->first_page + i);
    for (uint32_t i = 0; i < m->jobs; i++)
        m->job[(m->job_first + i) % REPL_BM_JOBS].error = error;
    repl_disk_failed(v, REPL_DISK_META, v->layout.bm_sector);
}

static void pages_send(struct repl_volume *v, struct repl_bm_write *w, struct hv_buf *buf)
{
    repl_io(v, REPL_FX_MD_WRITE, v->layout.bm_sector + (uint64_t)w->first_page * MD_BLOCK_SECTORS,
        buf, 0, w->pages * BITMAP_PAGE_BYTES, 0, pages_written, w);
}

static void data_flushed(struct repl_volume *v, void *arg, int error, struct hv_buf *flushed)
{
    struct repl_bm_write *w = arg;
    struct hv_buf *buf = w->buf;

    w->buf = NULL;
    if (error && error != HV_EUNSUPPORTED) {
        hv_buf_put(buf);
        pages_written(v, w, error, NULL);
        return;
    }
    repl_clears_durable(v, w->clears);
    pages_send(v, w, buf);
}

/* The pages as they are now.  A bit that is clear on disk while the block is still in a volatile cache
 * would be a difference that nobody knows of after a power failure: the data is flushed between taking
 * the copy and writing it, so that what is cleared meanwhile is not in it. */
static bool write_run(struct repl_volume *v, uint32_t first, uint32_t end)
{
    struct repl_md_ctl *m = &v->ctl.md;
    struct repl_bm_write *w = free_write(m);
    uint32_t n = 1;
    struct hv_buf *buf;

    if (!w || page_in_flight(m, first))
        return false;
    while (first + n < end && n < REPL_BM_RUN_PAGES && bitmap_page_is_dirty(&v->bm, first + n) &&
           !page_in_flight(m, first + n))
        n++;
    buf = hv_buf_alloc(v->r->config.bufs, n * BITMAP_PAGE_BYTES);
    if (!buf)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        bitmap_page_write(&v->bm, first + i, buf->data + (size_t)i * BITMAP_PAGE_BYTES);
        bitmap_page_clean(&v->bm, first + i);
    }
    buf->length_bytes = n * BITMAP_PAGE_BYTES;
    *w = (struct repl_bm_write){
        .busy = true, .number = ++m->writes, .first_page = first, .pages = n, .v = v};
    v->bm_writes += n;
    if (v->data.clears != v->data.clears_durable) {
        w->clears = v->data.clears;
        w->buf = buf;
        repl_io(v, REPL_FX_FLUSH, 0, NULL, 0, 0, 0, data_flushed, w);
    } else {
        pages_send(v, w, buf);
    }
    return true;
}

/* Starts what may start; true when the job has nothing left to start. */
static bool job_start(struct repl_volume *v, struct repl_bm_job *job)
{
    uint32_t end = job->end_page < v->bm.pages ? job->end_page : v->bm.pages;

    while (job->next_page < end) {
        uint32_t page = bitmap_next_dirty(&v->bm, job->next_page);
        if (page >= end)
            break;
        if (!write_run(v, page, end))
            return false;
        job->next_page = page;
    }
    /* A page that somebody else has under way counts for this job, too. */
    job->next_page = end;
    job->last_write = v->ctl.md.writes;
    return true;
}

static void jobs_pump(struct repl_volume *v)
{
    struct repl_md_ctl *m = &v->ctl.md;

    for (uint32_t i = 0; i < m->jobs; i++) {
        struct repl_bm_job *job = &m->job[(m->job_first + i) % REPL_BM_JOBS];
        if (job->last_write == UINT64_MAX && !job->error && !job_start(v, job))
            break;
        if (job->error)
            job->last_write = 0;
    }
    while (m->jobs) {
        struct repl_bm_job job = m->job[m->job_first];
        if (job.last_write == UINT64_MAX || oldest_write(m) <= job.last_write)
            return;
        m->job_first = (m->job_first + 1) % REPL_BM_JOBS;
        m->jobs--;
        if (job.done)
            job.done(v, job.arg, job.error);
    }
}

void repl_bm_write(
    struct repl_volume *v, uint32_t first_page, uint32_t end_page, repl_md_fn done, void *arg)
{
    struct repl_md_ctl *m = &v->ctl.md;

    if (!v->disk_open || !v->bm.pages) {
        if (done)
            done(v, arg, HV_ESTATE);
        return;
    }
    hv_assert(m->jobs < REPL_BM_JOBS);
    m->job[(m->job_first + m->jobs++) % REPL_BM_JOBS] = (struct repl_bm_job){
        .next_page = first_page,
        .end_page = end_page,
        .last_write = UINT64_MAX,
        .done = done,
        .arg = arg,
    };
    repl_md_pump(v);
}

/* --- both --- */

void repl_md_pump(struct repl_volume *v)
{
    struct repl_md_ctl *m = &v->ctl.md;

    if (!v->disk_open)
        return;
    if (m->waiting_next && !m->writing)
        superblock_write(v);
    jobs_pump(v);
}

bool repl_md_idle(const struct repl_volume *v)
{
    const struct repl_md_ctl *m = &v->ctl.md;

    return !m->writing && !m->waiting_next && !m->jobs && oldest_write(m) == UINT64_MAX;
}

void repl_md_free(struct repl_volume *v)
{
    for (int i = 0; i < REPL_BM_WRITES; i++) {
        hv_buf_put(v->ctl.md.write[i].buf);
        v->ctl.md.write[i].buf = NULL;
    }
}
