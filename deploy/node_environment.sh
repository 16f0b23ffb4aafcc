# What Ray is started with on every node. ray_jobs/serve_environment.py and docs/search.md say why.
. ~/venv/bin/activate
. ~/.drehr/environment
export RAY_AUTH_MODE=token
export RAY_USAGE_STATS_ENABLED=0
# On the head, where drivers of jobs are: what the cluster may grow to (ray_jobs/room.py).
export DREHR_NODE_TYPES=~/ray_bootstrap_config.yaml
export RAY_SERVE_ENABLE_HA_PROXY=1
export RAY_SERVE_THROUGHPUT_OPTIMIZED=1
export RAY_SERVE_HAPROXY_RETRY_ON="conn-failure empty-response"
export RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S=1
export RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S=20
export RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S=300
export RAY_SERVE_HAPROXY_LOG_TARGET=127.0.0.1:9
# A call to a machine that is cut off ends after a minute (ray_jobs/cluster_watch.py).
export RAY_grpc_client_keepalive_time_ms=30000
export RAY_grpc_client_keepalive_timeout_ms=30000
# Without the head, whose tables are in Redis, nodes go on for an hour; a minute would be Ray's patience.
export RAY_gcs_rpc_server_reconnect_timeout_s=3600
# The launcher sets it to 1. Unset, every worker gets as many threads as Ray reserved CPUs for it.
unset OMP_NUM_THREADS
ulimit -n 65535
