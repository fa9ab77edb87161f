//! Private PostgreSQL clusters for tests: made in a temporary folder, on a port that is free, gone
//! with the test. No service of the machine is touched.
//!
//! PostgreSQL refuses to run as root; a test that runs as root starts it as the user `postgres` or
//! `nobody`. A cluster also ends when the test process is killed: a watchdog waits for that.
//!
//! For tests only, and so it panics where a test would.

mod cluster;
mod patroni;
mod start;

pub use cluster::{Ending, PgCluster};
pub use patroni::{Patroni, Role, TOOLS_FOLDER};
pub use start::PgClusterBuilder;

/// Set to `skip` it leaves out every test that needs PostgreSQL.
pub const SWITCH: &str = "BLAUPAUSE_TEST_POSTGRES";

/// Set to a folder it says where PostgreSQL's programs are.
pub const BIN_FOLDER: &str = "BLAUPAUSE_POSTGRES_BIN";
