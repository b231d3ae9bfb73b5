/* front_fixture.h - a pool of three workers as the front sees it: segment, config, view. */
#ifndef REMUDA_TEST_FRONT_FIXTURE_H
#define REMUDA_TEST_FRONT_FIXTURE_H
#include "supervisor/front/status_view.h"
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

enum { FIXTURE_WORKERS = 3 };

struct front_fixture {
    struct segment segment;
    int segment_fd;
    struct config *config;
    struct pulse pulse;
    struct history history;
    struct status_view view;
};

/* cmocka set-up and tear-down: *state is a struct front_fixture with all three workers up. */
int front_fixture_setup(void **state);
int front_fixture_teardown(void **state);

#endif
