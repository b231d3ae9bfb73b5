/* front_fixture.c - see front_fixture.h. */
#include "tests/unit/supervisor/front/front_fixture.h"
#include "shared/base/mem.h"
#include <stdio.h>
#include <unistd.h>

int front_fixture_setup(void **state) {
    char error[256] = "";
    struct front_fixture *f = mem_calloc(1, sizeof(*f));
    f->segment_fd = segment_create(&f->segment, FIXTURE_WORKERS, 65536, error, sizeof(error));
    if (f->segment_fd < 0) {
        print_error("%s\n", error);
        return -1;
    }
    slot_map_deal(f->segment.slots, FIXTURE_WORKERS);
    f->config = config_create();
    for (uint32_t i = 0; i < FIXTURE_WORKERS + 2; i++) {
        atomic_store(&segment_status(&f->segment, i)->state, CHILD_UP);
        atomic_store(&segment_status(&f->segment, i)->pid, 100 + i);
        atomic_store(&segment_status(&f->segment, i)->generation, 10 + i);
    }
    f->view = (struct status_view){.segment = &f->segment,
                                   .config = f->config,
                                   .pulse = &f->pulse,
                                   .history = &f->history,
                                   .now_mono_ms = 50000,
                                   .now_wall_ms = f->segment.header->started_wall_ms + 61000};
    pulse_look(&f->pulse, &f->segment, f->view.now_mono_ms);
    *state = f;
    return 0;
}

int front_fixture_teardown(void **state) {
    struct front_fixture *f = *state;
    segment_detach(&f->segment);
    close(f->segment_fd);
    config_free(&f->config);
    mem_free(f);
    return 0;
}
