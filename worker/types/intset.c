/* intset.c - see intset.h. Machines are little-endian, so numbers are copied as they are. */
#include "worker/types/intset.h"

static uint32_t width_of(int64_t number) {
    return number == (int16_t)number ? 2 : number == (int32_t)number ? 4 : 8;
}

static int64_t read_number(const char *from, uint32_t width) {
    int16_t two;
    int32_t four;
    int64_t eight;
    switch (width) {
    case 2: memcpy(&two, from, sizeof(two)); return two;
    case 4: memcpy(&four, from, sizeof(four)); return four;
    default: memcpy(&eight, from, sizeof(eight)); return eight;
    }
}

void intset_init(struct buf *out) {
    buf_clear(out);
    buf_append(out, "\2", INTSET_HEADER);
}

int64_t intset_get(struct bytes set, uint64_t index) {
    uint32_t width = (uint8_t)set.ptr[0];
    return read_number(set.ptr + INTSET_HEADER + index * width, width);
}

bool intset_find(struct bytes set, int64_t number, uint64_t *index_r) {
    uint64_t low = 0, high = intset_count(set);
    if (high > 0 && number > intset_get(set, high - 1))
        low = high;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        int64_t there = intset_get(set, middle);
        if (there == number) {
            *index_r = middle;
            return true;
        }
        if (there < number)
            low = middle + 1;
        else
            high = middle;
    }
    *index_r = low;
    return false;
}

/* From the end on, so that no number is overwritten before it is moved. */
static void widen(struct buf *set, uint32_t width) {
    uint64_t count = intset_count(buf_bytes(set));
    uint32_t old = (uint8_t)set->data[0];
    buf_reserve(set, count * (width - old));
    for (uint64_t i = count; i-- > 0;) {
        int64_t number = read_number(set->data + INTSET_HEADER + i * old, old);
        memcpy(set->data + INTSET_HEADER + i * width, &number, width);
    }
    set->len = INTSET_HEADER + count * width;
    set->data[0] = (char)width;
}

void intset_insert(struct buf *set, uint64_t index, int64_t number) {
    if (width_of(number) > (uint8_t)set->data[0])
        widen(set, width_of(number));
    uint32_t width = (uint8_t)set->data[0];
    buf_insert(set, INTSET_HEADER + index * width, &number, width);
}

void intset_delete(struct buf *set, uint64_t index) {
    uint32_t width = (uint8_t)set->data[0];
    char *at = set->data + INTSET_HEADER + index * width;
    memmove(at, at + width, set->len - (size_t)(at + width - set->data));
    set->len -= width;
}
