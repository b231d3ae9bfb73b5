/* cmd_cluster.c - CLUSTER and its kin: the pool as a Redis Cluster on one host.
 *
 * Every worker is a node, its shard's slots are dealt once and for all by the supervisor, and the
 * states of the others are read from their status pages: there is no gossip, so all nodes agree. On
 * the public port the pool is one Redis and says that it is no cluster. */
#include "worker/command/server_private.h"

enum { BUS_PORT_OFFSET = 10000, NODE_ID_BYTES = 40 };

static bool is_cluster(struct command_ctx *ctx) {
    if (ctx_is_node(ctx) && ctx->env->segment != NULL)
        return true;
    reply_error(&ctx->reply, "ERR This instance has cluster support disabled");
    return false;
}

static const struct slot_map *slots_of(const struct command_ctx *ctx) {
    return ctx->env->segment->slots;
}

static enum child_state state_of(const struct command_ctx *ctx, uint32_t shard) {
    return (enum child_state)atomic_load(&segment_status(ctx->env->segment, shard)->state);
}

static bool serves(enum child_state state) {
    return state == CHILD_UP || state == CHILD_STOPPING;
}

void cmd_readonly(struct command_ctx *ctx) {
    if (!is_cluster(ctx))
        return;
    ctx->session->readonly_mode = true;
    reply_ok(&ctx->reply);
}

void cmd_readwrite(struct command_ctx *ctx) {
    if (!is_cluster(ctx))
        return;
    ctx->session->readonly_mode = false;
    reply_ok(&ctx->reply);
}

void cmd_asking(struct command_ctx *ctx) {
    if (!is_cluster(ctx))
        return;
    ctx->session->asking = true;
    reply_ok(&ctx->reply);
}

/* ---- who is who ---- */

static void describe_node(const struct command_ctx *ctx, uint32_t shard, struct buf *out) {
    const struct slot_map *slots = slots_of(ctx);
    enum child_state state = state_of(ctx, shard);
    bool self = shard == ctx->env->shard;
    uint32_t port = slots->port[shard];
    uint32_t bus = port + BUS_PORT_OFFSET <= UINT16_MAX ? port + BUS_PORT_OFFSET : 0;
    const char *health = self || serves(state) ? "" : state == CHILD_FAILED ? ",fail" : ",fail?";
    buf_printf(out, "%s %s:%u@%u %smaster%s - 0 0 %u %s", slots->node_id[shard],
               slots->announce_host, port, bus, self ? "myself," : "", health, shard + 1,
               self || serves(state) ? "connected" : "disconnected");
    if (slots->first[shard] < slots->first[shard + 1])
        buf_printf(out, " %u-%u", slots->first[shard], slots->first[shard + 1] - 1);
    buf_append_text(out, "\n");
}

void cmd_cluster_nodes(struct command_ctx *ctx) {
    if (!is_cluster(ctx))
        return;
    struct buf text = {0};
    for (uint32_t shard = 0; shard < slots_of(ctx)->shards; shard++)
        describe_node(ctx, shard, &text);
    reply_verbatim(&ctx->reply, "txt", buf_bytes(&text));
    buf_free(&text);
}

void cmd_cluster_myid(struct command_ctx *ctx) {
    if (is_cluster(ctx))
        reply_bulk_text(&ctx->reply, slots_of(ctx)->node_id[ctx->env->shard]);
}

/* A shard has one node, and keeps its id: the node's, read backwards, names the shard. */
void cmd_cluster_myshardid(struct command_ctx *ctx) {
    if (!is_cluster(ctx))
        return;
    const char *node = slots_of(ctx)->node_id[ctx->env->shard];
    char id[NODE_ID_BYTES];
    size_t len = strnlen(node, NODE_ID_BYTES);
    for (size_t i = 0; i < len; i++)
        id[i] = node[len - 1 - i];
    reply_bulk(&ctx->reply, bytes_of(id, len));
}

static void reply_slots_of_node(struct command_ctx *ctx, uint32_t shard) {
    const struct slot_map *slots = slots_of(ctx);
    struct reply *r = &ctx->reply;
    reply_array(r, 3);
    reply_integer(r, slots->first[shard]);
    reply_integer(r, slots->first[shard + 1] - 1);
    reply_array(r, 4);
    reply_bulk_text(r, slots->announce_host);
    reply_integer(r, slots->port[shard]);
    reply_bulk_text(r, slots->node_id[shard]);
    reply_map(r, 0);
}

void cmd_cluster_slots(struct command_ctx *ctx) {
    if (!is_cluster(ctx))
        return;
    const struct slot_map *slots = slots_of(ctx);
    size_t mark = reply_mark(&ctx->reply), count = 0;
    for (uint32_t shard = 0; shard < slots->shards; shard++) {
        if (slots->first[shard] >= slots->first[shard + 1])
            continue;
        reply_slots_of_node(ctx, shard);
        count++;
    }
    reply_close_array(&ctx->reply, mark, count);
}

static void reply_shard(struct command_ctx *ctx, uint32_t shard) {
    const struct slot_map *slots = slots_of(ctx);
    struct reply *r = &ctx->reply;
    enum child_state state = state_of(ctx, shard);
    reply_map(r, 2);
    reply_bulk_text(r, "slots");
    reply_array(r, 2);
    reply_integer(r, slots->first[shard]);
    reply_integer(r, slots->first[shard + 1] - 1);
    reply_bulk_text(r, "nodes");
    reply_array(r, 1);
    reply_map(r, 7);
    reply_bulk_text(r, "id");
    reply_bulk_text(r, slots->node_id[shard]);
    reply_bulk_text(r, "port");
    reply_integer(r, slots->port[shard]);
    reply_bulk_text(r, "ip");
    reply_bulk_text(r, slots->announce_host);
    reply_bulk_text(r, "endpoint");
    reply_bulk_text(r, slots->announce_host);
    reply_bulk_text(r, "role");
    reply_bulk_text(r, "master");
    reply_bulk_text(r, "replication-offset");
    reply_integer(r, 0);
    reply_bulk_text(r, "health");
    reply_bulk_text(r, state == CHILD_LOADING ? "loading" : serves(state) ? "online" : "fail");
}

void cmd_cluster_shards(struct command_ctx *ctx) {
    if (!is_cluster(ctx))
        return;
    reply_array(&ctx->reply, slots_of(ctx)->shards);
    for (uint32_t shard = 0; shard < slots_of(ctx)->shards; shard++)
        reply_shard(ctx, shard);
}

void cmd_cluster_info(struct command_ctx *ctx) {
    if (!is_cluster(ctx))
        return;
    const struct slot_map *slots = slots_of(ctx);
    uint32_t suspected = 0, failed = 0;
    for (uint32_t shard = 0; shard < slots->shards; shard++) {
        uint32_t owned = (uint32_t)slots->first[shard + 1] - slots->first[shard];
        enum child_state state = state_of(ctx, shard);
        if (state == CHILD_FAILED)
            failed += owned;
        else if (!serves(state))
            suspected += owned;
    }
    struct buf text = {0};
    buf_printf(&text,
               "cluster_state:%s\r\ncluster_slots_assigned:%u\r\ncluster_slots_ok:%u\r\n"
               "cluster_slots_pfail:%u\r\ncluster_slots_fail:%u\r\ncluster_known_nodes:%u\r\n"
               "cluster_size:%u\r\ncluster_current_epoch:%u\r\ncluster_my_epoch:%u\r\n"
               "cluster_stats_messages_sent:0\r\ncluster_stats_messages_received:0\r\n"
               "total_cluster_links_buffer_limit_exceeded:0\r\n",
               failed > 0 ? "fail" : "ok", SLOT_COUNT, SLOT_COUNT - suspected - failed, suspected,
               failed, slots->shards, slots->shards, slots->shards, ctx->env->shard + 1);
    reply_verbatim(&ctx->reply, "txt", buf_bytes(&text));
    buf_free(&text);
}

void cmd_cluster_links(struct command_ctx *ctx) {
    if (is_cluster(ctx))
        reply_array(&ctx->reply, 0);
}

/* Index of the node an argument names, or -1 after an error reply. */
static int32_t find_node(struct command_ctx *ctx, struct bytes id) {
    const struct slot_map *slots = slots_of(ctx);
    for (uint32_t shard = 0; shard < slots->shards; shard++)
        if (bytes_equal(id, bytes_of_text(slots->node_id[shard])))
            return (int32_t)shard;
    reply_error_format(&ctx->reply, "ERR Unknown node %.*s", SHOWN(id));
    return -1;
}

void cmd_cluster_replicas(struct command_ctx *ctx) {
    if (is_cluster(ctx) && find_node(ctx, ctx->argv[2]) >= 0)
        reply_array(&ctx->reply, 0);
}

void cmd_cluster_count_failure_reports(struct command_ctx *ctx) {
    if (is_cluster(ctx) && find_node(ctx, ctx->argv[2]) >= 0)
        reply_integer(&ctx->reply, 0);
}

/* ---- slots and keys ---- */

void cmd_cluster_keyslot(struct command_ctx *ctx) {
    if (is_cluster(ctx))
        reply_integer(&ctx->reply, slot_of_key(ctx->argv[2]));
}

static bool parse_integer(struct command_ctx *ctx, struct bytes text, int64_t *value_r) {
    if (bytes_to_i64(text, value_r))
        return true;
    reply_error(&ctx->reply, reply_err_not_integer);
    return false;
}

void cmd_cluster_countkeysinslot(struct command_ctx *ctx) {
    int64_t slot;
    if (!is_cluster(ctx) || !parse_integer(ctx, ctx->argv[2], &slot))
        return;
    if (slot < 0 || slot >= SLOT_COUNT)
        reply_error(&ctx->reply, "ERR Invalid slot");
    else
        reply_integer(&ctx->reply, (int64_t)keyspace_count_in_slot(ctx->ks, (uint32_t)slot));
}

struct found_keys {
    struct reply *reply;
    size_t count;
};

static void add_key(void *arg, struct bytes key) {
    struct found_keys *found = arg;
    reply_bulk(found->reply, key);
    found->count++;
}

void cmd_cluster_getkeysinslot(struct command_ctx *ctx) {
    int64_t slot, max;
    if (!is_cluster(ctx) || !parse_integer(ctx, ctx->argv[2], &slot) ||
        !parse_integer(ctx, ctx->argv[3], &max))
        return;
    if (slot < 0 || slot >= SLOT_COUNT || max < 0) {
        reply_error(&ctx->reply, "ERR Invalid slot or number of keys");
        return;
    }
    struct found_keys found = {&ctx->reply, 0};
    size_t mark = reply_mark(&ctx->reply);
    keyspace_keys_in_slot(ctx->ks, (uint32_t)slot, (uint64_t)max, add_key, &found);
    reply_close_array(&ctx->reply, mark, found.count);
}

/* MEET, ADDSLOTS, FAILOVER and the like: what would change the cluster. */
void cmd_cluster_fixed(struct command_ctx *ctx) {
    if (is_cluster(ctx))
        reply_error_format(
            &ctx->reply, "ERR CLUSTER %.*s is not possible: nodes and slots are fixed at pool.ini",
            SHOWN(ctx->argv[1]));
}

void cmd_cluster_help(struct command_ctx *ctx) {
    static const char *const lines[] = {
        "COUNT-FAILURE-REPORTS <node-id>",
        "    Return number of failure reports for <node-id>.",
        "COUNTKEYSINSLOT <slot>",
        "    Return the number of keys in <slot>.",
        "GETKEYSINSLOT <slot> <count>",
        "    Return key names stored by current node in a slot.",
        "INFO",
        "    Return information about the cluster.",
        "KEYSLOT <key>",
        "    Return the hash slot for <key>.",
        "MYID",
        "    Return the node id.",
        "MYSHARDID",
        "    Return the node's shard id.",
        "NODES",
        "    Return cluster configuration seen by node. Output format:",
        "    <id> <ip:port@bus-port[,hostname]> <flags> <master> <pings> <pongs> <epoch> <link> "
        "<slot> ...",
        "REPLICAS <node-id>",
        "    Return <node-id> replicas.",
        "SLOTS",
        "    Return information about slots range mappings. Each range is made of:",
        "    start, end, master and replicas IP addresses, ports and ids",
        "SHARDS",
        "    Return information about slot range mappings and the nodes associated with them.",
        "LINKS",
        "    Return information about all network links between this node and its peers.",
        NULL,
    };
    if (is_cluster(ctx))
        reply_help(ctx, "CLUSTER", lines);
}
