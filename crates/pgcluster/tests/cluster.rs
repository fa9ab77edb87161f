//! A cluster starts, keeps its data over any ending, and is gone with its handle.

use blaupause_pgcluster::{Ending, PgCluster};

#[test]
fn data_outlives_any_ending_and_nothing_outlives_the_handle() {
    let Some(mut cluster) = PgCluster::start() else { return };
    let database = cluster.new_database();
    cluster.psql(&database, "create table t (n int)");
    for ending in [Ending::Kill, Ending::Fast] {
        cluster.psql(&database, "insert into t values (1)");
        cluster.stop(ending);
        cluster.restart();
    }
    assert_eq!(cluster.psql(&database, "select count(*), 7 from t"), "2|7");
    assert_ne!(cluster.new_database(), database);
    let folder = cluster.socket_folder().to_owned();
    drop(cluster);
    assert!(!folder.exists());
}
