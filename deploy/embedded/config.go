package embedded

// defaultMemoryRatio of the machine's memory is the engine's: broker, consumer
// and page share the machine.
const defaultMemoryRatio = 0.5

// configXML is the engine's configuration. What is not said is ClickHouse's
// default, which is made for a server of its own with many cores.
const configXML = `<?xml version="1.0"?>
<!-- Written at every start; changes are lost. -->
<clickhouse>
    <path>$DIR/store/</path>
    <user_directories><users_xml><path>$DIR/users.xml</path></users_xml></user_directories>
    <listen_host>$HOST</listen_host>
    <tcp_port>$TCP_PORT</tcp_port>
    <http_port>$HTTP_PORT</http_port>
    <timezone>UTC</timezone>

    <logger>
        <level>warning</level>
        <log>$DIR/server.log</log>
        <size>10M</size>
        <count>2</count>
    </logger>

    $MEMORY
    <!-- Rollups and the newest events are what is read again and again; their marks are a few MB. -->
    <mark_cache_size>268435456</mark_cache_size>
    <index_mark_cache_size>67108864</index_mark_cache_size>
    <uncompressed_cache_size>0</uncompressed_cache_size>
    <index_uncompressed_cache_size>0</index_uncompressed_cache_size>
    <mmap_cache_size>256</mmap_cache_size>
    <compiled_expression_cache_size>33554432</compiled_expression_cache_size>

    <!-- One merge a core, two waiting; the other pools do housekeeping. -->
    <background_pool_size>$THREADS</background_pool_size>
    <background_merges_mutations_concurrency_ratio>2</background_merges_mutations_concurrency_ratio>
    <background_move_pool_size>1</background_move_pool_size>
    <background_fetches_pool_size>1</background_fetches_pool_size>
    <background_common_pool_size>2</background_common_pool_size>
    <background_schedule_pool_size>8</background_schedule_pool_size>
    <background_buffer_flush_schedule_pool_size>1</background_buffer_flush_schedule_pool_size>
    <background_distributed_schedule_pool_size>2</background_distributed_schedule_pool_size>
    <background_message_broker_schedule_pool_size>2</background_message_broker_schedule_pool_size>
    <tables_loader_background_pool_size>2</tables_loader_background_pool_size>
    <merge_tree>
        <!-- Defaults are for a pool of 32 and refuse a smaller one. -->
        <number_of_free_entries_in_pool_to_lower_max_size_of_merge>1</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
        <number_of_free_entries_in_pool_to_execute_mutation>1</number_of_free_entries_in_pool_to_execute_mutation>
        <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>1</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
    </merge_tree>
    $EXTRA
</clickhouse>
`

// engineQueries is what the engine's own session runs in its life: the
// definition of its table and the three statements of cmd/drawdown-embedded.
const engineQueries = "4"

// usersXML: the engine's own session is user default, without password and from
// 127.0.0.1, because libchdb cannot be told otherwise. It has the rights and the
// number of queries that it needs; so whoever else logs in as default can do
// nothing. (To refuse the log-in itself would be worse: this engine aborts when
// a log-in over the native protocol fails, be it for a wrong password.)
const usersXML = `<?xml version="1.0"?>
<!-- Written at every start; changes are lost. -->
<clickhouse>
    <users>
        <default>
            <password></password>
            <profile>engine</profile>
            <quota>engine</quota>
            <networks><ip>127.0.0.1</ip></networks>
            <grants>
                <query>GRANT SYSTEM LISTEN ON *.*</query>
                <query>GRANT CREATE ARBITRARY TEMPORARY TABLE ON *.*</query>
                <query>GRANT TABLE ENGINE ON File</query>
                <query>GRANT SELECT ON default.table</query>
            </grants>
        </default>
        <$USER>
            <password_sha256_hex>$PASSWORD_SHA256</password_sha256_hex>
            <profile>default</profile>
            <quota>default</quota>
            <networks><ip>::/0</ip></networks>
            <access_management>1</access_management>
            <named_collection_control>1</named_collection_control>
        </$USER>
    </users>
    <profiles>
        <default>
            <!-- No system log tables exist here; do not collect for them. -->
            <log_queries>0</log_queries>
            <log_query_threads>0</log_query_threads>
            <query_profiler_real_time_period_ns>0</query_profiler_real_time_period_ns>
            <query_profiler_cpu_time_period_ns>0</query_profiler_cpu_time_period_ns>
            <memory_profiler_step>0</memory_profiler_step>
        </default>
        <engine>
            <query_profiler_real_time_period_ns>0</query_profiler_real_time_period_ns>
            <query_profiler_cpu_time_period_ns>0</query_profiler_cpu_time_period_ns>
        </engine>
    </profiles>
    <quotas>
        <default/>
        <!-- One interval, until 2038. -->
        <engine><interval><duration>2147483647</duration><queries>$ENGINE_QUERIES</queries></interval></engine>
    </quotas>
</clickhouse>
`
