/* hyperloglog.c - see hyperloglog.h. */
#include "worker/types/hyperloglog.h"

#include <math.h>

enum {
    AT_ENCODING = 4,
    AT_CACHED = 8,
    CACHED_BYTES = 8,
    DENSE = 0,
    SPARSE = 1,
    REGISTER_BITS = 6,
    INDEX_BITS = 14,              /* of the hash: which register */
    COUNT_BITS = 64 - INDEX_BITS, /* of the hash: what is counted */
    ZERO_MAX = 64,                /* registers in a run */
    XZERO_MAX = 16384,
    VAL_MAX = 4,
    VAL_VALUE_MAX = 32,
    MERGED_RUNS = 5 /* runs looked at, after a change, for those that can be one */
};
static const char magic[4] = {'H', 'Y', 'L', 'L'};

/* ---- hash ---- */

/* MurmurHash64A of Austin Appleby (public domain), words read as little-endian, Redis's seed. */
static uint64_t murmur(struct bytes text) {
    const uint64_t m = UINT64_C(0xc6a4a7935bd1e995), seed = 0xadc83b19;
    const unsigned shift = 47;
    uint64_t hash = seed ^ (text.len * m);
    size_t at = 0;
    for (; text.len - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, text.ptr + at, sizeof(word));
        word *= m;
        word ^= word >> shift;
        hash = (hash ^ word * m) * m;
    }
    if (at < text.len) {
        uint64_t word = 0;
        memcpy(&word, text.ptr + at, text.len - at);
        hash = (hash ^ word) * m;
    }
    hash ^= hash >> shift;
    hash *= m;
    return hash ^ (hash >> shift);
}

uint32_t hll_observe(struct bytes element, uint8_t *count_r) {
    uint64_t hash = murmur(element);
    /* A bit above the counted ones ends the count. */
    uint64_t counted = hash >> INDEX_BITS | UINT64_C(1) << COUNT_BITS;
    *count_r = (uint8_t)(__builtin_ctzll(counted) + 1);
    return (uint32_t)(hash & (HLL_REGISTERS - 1));
}

/* ---- header ---- */

bool hll_is_sparse(struct bytes hll) {
    return hll.ptr[AT_ENCODING] == SPARSE;
}

bool hll_is_valid(struct bytes hll) {
    if (hll.len < HLL_HEADER_BYTES || memcmp(hll.ptr, magic, sizeof(magic)) != 0)
        return false;
    uint8_t encoding = (uint8_t)hll.ptr[AT_ENCODING];
    return encoding == SPARSE || (encoding == DENSE && hll.len == HLL_DENSE_BYTES);
}

bool hll_cached(struct bytes hll, uint64_t *count_r) {
    memcpy(count_r, hll.ptr + AT_CACHED, CACHED_BYTES);
    return !(*count_r >> 63);
}

void hll_set_cached(char *hll, uint64_t count) {
    memcpy(hll + AT_CACHED, &count, CACHED_BYTES);
}

void hll_forget_cached(char *hll) {
    hll[AT_CACHED + CACHED_BYTES - 1] |= (char)0x80;
}

/* ---- dense ---- */

static uint8_t dense_get(const char *registers, uint32_t index) {
    uint32_t bit = index * REGISTER_BITS, shift = bit % 8;
    const uint8_t *at = (const uint8_t *)registers + bit / 8;
    uint32_t two = at[0];
    if (shift > 8 - REGISTER_BITS)
        two |= (uint32_t)at[1] << 8;
    return two >> shift & HLL_REGISTER_MAX;
}

static void dense_set(char *registers, uint32_t index, uint8_t count) {
    uint32_t bit = index * REGISTER_BITS, shift = bit % 8;
    uint8_t *at = (uint8_t *)registers + bit / 8;
    at[0] = (uint8_t)((at[0] & ~((uint32_t)HLL_REGISTER_MAX << shift)) | (uint32_t)count << shift);
    if (shift > 8 - REGISTER_BITS)
        at[1] = (uint8_t)((at[1] & ~((uint32_t)HLL_REGISTER_MAX >> (8 - shift))) |
                          (uint32_t)count >> (8 - shift));
}

/* ---- sparse ---- */

struct run {
    size_t at;      /* of its bytes */
    uint32_t bytes; /* 1, or 2 of an XZERO */
    uint32_t first; /* register */
    uint32_t count; /* of registers */
    uint8_t value;  /* of each; 0: ZERO or XZERO */
};

/* Begin with run_r all zero but for .at at the header's end. false: no more, or corrupt. */
static bool run_read(struct bytes hll, struct run *run) {
    if (run->at >= hll.len)
        return false;
    uint8_t op = (uint8_t)hll.ptr[run->at];
    run->bytes = 1;
    run->value = 0;
    if (op & 0x80) {
        run->value = (uint8_t)((op >> 2 & 0x1F) + 1);
        run->count = (op & 0x03) + 1u;
    } else if (op & 0x40) {
        if (run->at + 1 >= hll.len)
            return false;
        run->bytes = 2;
        run->count = ((op & 0x3Fu) << 8 | (uint8_t)hll.ptr[run->at + 1]) + 1;
    } else {
        run->count = op + 1u;
    }
    return run->count <= HLL_REGISTERS - run->first;
}

static void run_skip(struct run *run) {
    run->at += run->bytes;
    run->first += run->count;
}

static const struct run first_run = {.at = HLL_HEADER_BYTES};

static char val_op(uint8_t value, uint32_t count) {
    return (char)(0x80 | (value - 1) << 2 | (count - 1));
}

/* Append `count` registers of one value, at most what a single run holds; none are nothing. */
static size_t run_write(char *to, uint8_t value, uint32_t count) {
    if (count == 0)
        return 0;
    if (value > 0) {
        to[0] = val_op(value, count);
        return 1;
    }
    if (count <= ZERO_MAX) {
        to[0] = (char)(count - 1);
        return 1;
    }
    to[0] = (char)(0x40 | (count - 1) >> 8);
    to[1] = (char)(count - 1);
    return 2;
}

void hll_create(struct buf *hll) {
    buf_clear(hll);
    char *to = buf_reserve(hll, HLL_HEADER_BYTES + 2);
    memset(to, 0, HLL_HEADER_BYTES);
    memcpy(to, magic, sizeof(magic));
    to[AT_ENCODING] = SPARSE;
    hll->len = HLL_HEADER_BYTES + run_write(to + HLL_HEADER_BYTES, 0, XZERO_MAX);
}

enum hll_outcome hll_make_dense(struct buf *hll) {
    if (!hll_is_sparse(buf_bytes(hll)))
        return HLL_SAME;
    uint8_t registers[HLL_REGISTERS] = {0};
    if (!hll_merge(registers, buf_bytes(hll)))
        return HLL_CORRUPT;
    if (hll->len < HLL_DENSE_BYTES)
        buf_reserve(hll, HLL_DENSE_BYTES - hll->len);
    hll->len = HLL_DENSE_BYTES;
    hll->data[AT_ENCODING] = DENSE;
    char *dense = hll->data + HLL_HEADER_BYTES;
    memset(dense, 0, HLL_DENSE_BYTES - HLL_HEADER_BYTES);
    for (uint32_t i = 0; i < HLL_REGISTERS; i++)
        if (registers[i] > 0)
            dense_set(dense, i, registers[i]);
    return HLL_CHANGED;
}

/* Neighbouring VAL runs of one value become one, the bytes they need fewer. `at`: the run to begin at. */
static void merge_runs(struct buf *hll, size_t at) {
    struct run run = {.at = at}, next;
    for (uint32_t i = 0; i < MERGED_RUNS && run_read(buf_bytes(hll), &run); i++) {
        next = (struct run){.at = run.at + run.bytes};
        bool one = run.value > 0 && run_read(buf_bytes(hll), &next) && next.value == run.value &&
                   run.count + next.count <= VAL_MAX;
        if (one) {
            hll->data[next.at] = val_op(run.value, run.count + next.count);
            memmove(hll->data + run.at, hll->data + next.at, hll->len - next.at);
            hll->len--;
        } else {
            run.at += run.bytes;
        }
        run.first = 0;
    }
}

static enum hll_outcome sparse_raise(struct buf *hll, uint32_t index, uint8_t count,
                                     uint64_t sparse_max) {
    struct run run = first_run;
    size_t before = run.at;
    bool whole;
    while ((whole = run_read(buf_bytes(hll), &run)) && index - run.first >= run.count) {
        before = run.at;
        run_skip(&run);
    }
    if (!whole)
        return HLL_CORRUPT;
    if (run.value >= count)
        return HLL_SAME;
    char split[5];
    uint32_t left = index - run.first;
    size_t len = run_write(split, run.value, left);
    len += run_write(split + len, count, 1);
    len += run_write(split + len, run.value, run.count - left - 1);
    if (len > run.bytes && hll->len + len - run.bytes > sparse_max)
        return hll_make_dense(hll) == HLL_CORRUPT ? HLL_CORRUPT
                                                  : hll_raise(hll, index, count, sparse_max);
    if (len > run.bytes)
        buf_insert(hll, run.at, split, len - run.bytes);
    else if (len < run.bytes) {
        memmove(hll->data + run.at, hll->data + run.at + 1, hll->len - run.at - 1);
        hll->len--;
    }
    memcpy(hll->data + run.at, split, len);
    merge_runs(hll, before);
    return HLL_CHANGED;
}

enum hll_outcome hll_raise(struct buf *hll, uint32_t index, uint8_t count, uint64_t sparse_max) {
    if (hll_is_sparse(buf_bytes(hll))) {
        if (count <= VAL_VALUE_MAX)
            return sparse_raise(hll, index, count, sparse_max);
        if (hll_make_dense(hll) == HLL_CORRUPT)
            return HLL_CORRUPT;
    }
    char *registers = hll->data + HLL_HEADER_BYTES;
    if (dense_get(registers, index) >= count)
        return HLL_SAME;
    dense_set(registers, index, count);
    return HLL_CHANGED;
}

enum hll_outcome hll_add(struct buf *hll, struct bytes element, uint64_t sparse_max) {
    uint8_t count;
    uint32_t index = hll_observe(element, &count);
    return hll_raise(hll, index, count, sparse_max);
}

/* ---- the whole ---- */

bool hll_merge(uint8_t registers[HLL_REGISTERS], struct bytes hll) {
    if (!hll_is_sparse(hll)) {
        for (uint32_t i = 0; i < HLL_REGISTERS; i++) {
            uint8_t count = dense_get(hll.ptr + HLL_HEADER_BYTES, i);
            if (count > registers[i])
                registers[i] = count;
        }
        return true;
    }
    struct run run = first_run;
    while (run_read(hll, &run)) {
        for (uint32_t i = run.first; i < run.first + run.count; i++)
            if (run.value > registers[i])
                registers[i] = run.value;
        run_skip(&run);
    }
    return run.at == hll.len && run.first == HLL_REGISTERS;
}

/* sigma and tau of the paper: the corrections for registers at either end of their range. */
static double sigma(double x) {
    double power = 1, sum = x, before;
    if (x == 1)
        return INFINITY;
    do {
        x *= x;
        before = sum;
        sum += x * power;
        power += power;
    } while (sum != before);
    return sum;
}

static double tau(double x) {
    double power = 1, sum = 1 - x, before;
    if (x == 0 || x == 1)
        return 0;
    do {
        x = sqrt(x);
        before = sum;
        power *= 0.5;
        sum -= pow(1 - x, 2) * power;
    } while (sum != before);
    return sum / 3;
}

uint64_t hll_estimate(const uint8_t registers[HLL_REGISTERS]) {
    const double m = HLL_REGISTERS, alpha = 0.721347520444481703680; /* 1 / (2 ln 2) */
    uint32_t histogram[HLL_REGISTER_MAX + 1] = {0};
    for (uint32_t i = 0; i < HLL_REGISTERS; i++)
        histogram[registers[i]]++;
    double z = m * tau((m - histogram[COUNT_BITS + 1]) / m);
    for (uint32_t count = COUNT_BITS; count > 0; count--) {
        z += histogram[count];
        z *= 0.5;
    }
    z += m * sigma(histogram[0] / m);
    return (uint64_t)llroundl(alpha * m * m / z);
}

bool hll_describe(struct bytes hll, struct buf *out) {
    struct run run = first_run;
    buf_clear(out);
    while (run_read(hll, &run)) {
        const char *space = out->len > 0 ? " " : "";
        if (run.value > 0)
            buf_printf(out, "%sv:%u,%u", space, run.value, run.count);
        else
            buf_printf(out, "%s%c:%u", space, run.bytes == 2 ? 'Z' : 'z', run.count);
        run_skip(&run);
    }
    return run.at == hll.len && run.first == HLL_REGISTERS;
}
