use std::path::Path;

/// What the configuration of a node depends on.
pub(super) struct Wanted<'a> {
    pub name: &'a str,
    pub port: u16,
    pub agent_port: u16,
    pub etcd_port: u16,
    pub folder: &'a Path,
    pub programs: &'a Path,
}

/// Patroni's configuration. What matters for the promise stands in `dcs`: synchronous mode, and
/// `synchronous_commit` left at `on`. The times are a third of Patroni's defaults, so that the test
/// is short; a failover takes at most about `ttl` and a few seconds.
pub(super) fn of_node(wanted: &Wanted<'_>) -> String {
    let Wanted { name, port, agent_port, etcd_port, .. } = wanted;
    let (folder, programs) = (wanted.folder.display(), wanted.programs.display());
    format!(
        "scope: blaupause
name: {name}
restapi: {{listen: '127.0.0.1:{agent_port}', connect_address: '127.0.0.1:{agent_port}'}}
etcd3: {{host: '127.0.0.1:{etcd_port}'}}
bootstrap:
  dcs:
    ttl: 10
    loop_wait: 2
    retry_timeout: 3
    maximum_lag_on_failover: 1048576
    synchronous_mode: true
    postgresql:
      use_pg_rewind: true
      parameters:
        synchronous_commit: 'on'
        max_connections: 60
        shared_buffers: 32MB
        jit: 'off'
  initdb: [encoding: UTF8, locale: C, data-checksums]
postgresql:
  listen: '127.0.0.1:{port}'
  connect_address: '127.0.0.1:{port}'
  data_dir: {folder}/{name}
  bin_dir: {programs}
  pgpass: {folder}/{name}.pgpass
  pg_hba: ['host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust']
  authentication:
    superuser: {{username: postgres, password: unused}}
    replication: {{username: replicator, password: unused}}
  parameters: {{unix_socket_directories: ''}}
"
    )
}
