/* zset_packed.c - the packed form of a sorted set, see zset_private.h. */
#include "worker/types/zset_private.h"
#include "worker/types/packed.h"

#include <endian.h>

enum { PAIR = 2, DOUBLE_BYTES = 9, MARK = 'd' };

/* 0 and -0 are one score here, as they are in Redis's packed form. */
static struct bytes score_text(double score, char *out) {
    const double whole_max = 0x1p62;
    if (score >= -whole_max && score <= whole_max && (double)(int64_t)score == score)
        return bytes_of(out, bytes_from_i64(out, (int64_t)score));
    uint64_t bits;
    memcpy(&bits, &score, sizeof(bits));
    bits = htole64(bits);
    out[0] = MARK;
    memcpy(out + 1, &bits, sizeof(bits));
    return bytes_of(out, DOUBLE_BYTES);
}

double zset_packed_score(struct bytes packed, size_t member_at) {
    struct packed_element element;
    packed_get(packed, packed_next(packed, member_at), &element);
    if (element.is_integer)
        return (double)element.number;
    uint64_t bits;
    double score;
    memcpy(&bits, element.text.ptr + 1, sizeof(bits));
    bits = le64toh(bits);
    memcpy(&score, &bits, sizeof(score));
    return score;
}

size_t zset_packed_find(struct bytes packed, struct bytes member) {
    return packed_find(packed, packed_first(packed), member, PAIR);
}

size_t zset_packed_seek(struct bytes packed, uint64_t rank) {
    return rank > INT64_MAX / PAIR ? packed.len : packed_index(packed, (int64_t)rank * PAIR);
}

void zset_packed_append(struct buf *packed, struct bytes member, double score) {
    char text[BYTES_I64_MAX];
    packed_append(packed, member);
    packed_append(packed, score_text(score, text));
}

uint64_t zset_packed_pass(struct bytes packed, size_t *at, const struct ordered_place *place) {
    char digits[BYTES_I64_MAX];
    uint64_t passed = 0;
    while (*at < packed.len) {
        double score = zset_packed_score(packed, *at);
        struct bytes member =
            place->by_member ? packed_text(packed, *at, digits) : bytes_of(NULL, 0);
        if (!ordered_stands_before(score, member, place))
            break;
        *at = packed_next(packed, packed_next(packed, *at));
        passed++;
    }
    return passed;
}

void zset_packed_insert(struct buf *packed, struct bytes member, double score) {
    char text[BYTES_I64_MAX];
    struct ordered_place place = {
        .by_score = true, .by_member = true, .score = score, .member = member};
    size_t at = packed_first(buf_bytes(packed));
    zset_packed_pass(buf_bytes(packed), &at, &place);
    packed_insert(packed, at, score_text(score, text));
    packed_insert(packed, at, member);
}
