//! Where a server under test keeps its data: a folder, and with PostgreSQL a database.
//!
//! `BLAUPAUSE_TEST_ENGINE` says which engine all tests of a run use: `rocksdb` (also without the
//! variable) or `postgres`. One private cluster serves the whole run and is deleted at its end.

use std::{path::Path, sync::OnceLock};

use blaupause_pgcluster::PgCluster;
use tempfile::TempDir;

/// The only variable that names the engine.
const SWITCH: &str = "BLAUPAUSE_TEST_ENGINE";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Rocksdb,
    Postgres,
}

impl Engine {
    /// The engine of this run.
    ///
    /// # Panics
    /// If the variable names none.
    pub fn of_this_run() -> Self {
        match std::env::var(SWITCH).as_deref() {
            Err(_) | Ok("rocksdb") => Self::Rocksdb,
            Ok("postgres") => Self::Postgres,
            Ok(other) => panic!("{SWITCH} is {other:?}; it may be rocksdb or postgres"),
        }
    }
}

/// A folder of its own and an empty store. Both go when it is dropped.
pub struct Place {
    database: Option<String>,
    folder: TempDir,
}

impl Place {
    /// On the engine of this run.
    pub fn new() -> Self {
        Self::on(Engine::of_this_run())
    }

    pub fn on(engine: Engine) -> Self {
        let database = (engine == Engine::Postgres).then(|| cluster().new_database());
        Self { database, folder: tempfile::tempdir().expect("a folder") }
    }

    /// A folder only.
    pub fn without_store() -> Self {
        Self { database: None, folder: tempfile::tempdir().expect("a folder") }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The section of the configuration that names the store.
    pub fn section(&self) -> String {
        match &self.database {
            // Many servers at once, none of which fills its disk: no reserve.
            None => format!(
                "[storage]\npath = \"{}/db\"\nreserve_size = \"0 B\"\n",
                self.path().display()
            ),
            Some(database) => section_of(&cluster().dsn(database)),
        }
    }

    /// What a second server on the same store is told, among other things.
    pub fn refusal(&self) -> String {
        match &self.database {
            None => self.path().join("db").display().to_string(),
            Some(_) => "another server uses this database".to_owned(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(database) = &self.database
            && !std::thread::panicking()
        {
            cluster().psql("postgres", &format!("drop database {database} with (force)"));
        }
    }
}

/// The section for a database that is reached in this way.
pub fn section_of(dsn: &str) -> String {
    format!("[storage]\nengine = \"postgres\"\n[storage.postgres]\ndsn = \"{dsn}\"\n")
}

/// Started with the first test that needs it.
fn cluster() -> &'static PgCluster {
    static CLUSTER: OnceLock<PgCluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let cluster = PgCluster::builder().set("max_connections", "300").start();
        cluster.expect("PostgreSQL is installed: cargo xtask test does that")
    })
}
