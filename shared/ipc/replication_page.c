/* replication_page.c - see replication_page.h. */
#include "shared/ipc/replication_page.h"

#include <string.h>

enum { TRIES = 100 };

/* A sequence number that a dead writer left odd stays so until this is over. */
void replication_page_write(struct replication_page *page, const struct replication_table *table) {
    uint32_t odd = atomic_load_explicit(&page->sequence, memory_order_relaxed) | 1;
    atomic_store_explicit(&page->sequence, odd, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    page->table.replicas = table->replicas;
    page->table.primaries = table->primaries;
    memcpy(page->table.replica, table->replica,
           links_shown(table->replicas) * sizeof table->replica[0]);
    memcpy(page->table.primary, table->primary,
           links_shown(table->primaries) * sizeof table->primary[0]);
    atomic_store_explicit(&page->sequence, odd + 1, memory_order_release);
}

static void end_texts(struct replication_table *table) {
    for (uint32_t i = 0; i < LINKS_SHOWN; i++) {
        table->replica[i].address[LINK_ADDRESS_BYTES - 1] = '\0';
        table->replica[i].state[LINK_STATE_BYTES - 1] = '\0';
        table->primary[i].address[LINK_ADDRESS_BYTES - 1] = '\0';
        table->primary[i].state[LINK_STATE_BYTES - 1] = '\0';
        table->primary[i].trouble[LINK_TROUBLE_BYTES - 1] = '\0';
    }
}

bool replication_page_read(const struct replication_page *page, struct replication_table *table_r) {
    for (int i = 0; i < TRIES; i++) {
        uint32_t before = atomic_load_explicit(&page->sequence, memory_order_acquire);
        if (before & 1)
            continue;
        memcpy(table_r, &page->table, sizeof *table_r);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&page->sequence, memory_order_relaxed) != before)
            continue;
        end_texts(table_r);
        return true;
    }
    table_r->replicas = table_r->primaries = 0;
    return false;
}

void replication_page_reset(struct replication_page *page) {
    static const struct replication_table none;
    replication_page_write(page, &none);
}
