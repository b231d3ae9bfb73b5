/* test_list.c - order, removal (twice too), and removal while walking. */
#include "tests/unit/shared/support.h"

#include "shared/base/list.h"

struct item {
    int number;
    struct list link;
};

static int number_at(struct list *node) {
    return LIST_ENTRY(node, struct item, link)->number;
}

static void assert_order(struct list *head, const char *expected) {
    char order[16] = "";
    LIST_EACH(node, head) {
        order[strlen(order)] = (char)('0' + number_at(node));
    }
    assert_string_equal(order, expected);
}

static void order_and_removal(void **state) {
    struct list head;
    struct item items[5];
    list_init(&head);
    assert_true(list_empty(&head));
    for (int i = 0; i < 5; i++)
        items[i].number = i;
    list_push_back(&head, &items[1].link);
    list_push_back(&head, &items[2].link);
    list_push_front(&head, &items[0].link);
    list_insert(&items[0].link, &items[3].link);
    assert_order(&head, "0312");
    list_remove(&items[3].link);
    list_remove(&items[3].link);
    assert_order(&head, "012");
    LIST_EACH(node, &head) {
        if (number_at(node) != 1)
            list_remove(node);
    }
    assert_order(&head, "1");
    list_remove(&items[1].link);
    assert_true(list_empty(&head));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(order_and_removal)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
