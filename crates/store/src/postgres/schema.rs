use tokio_postgres::{Client, SimpleQueryMessage};

use super::PgError;

/// Of the tables and functions in `schema.sql`.
pub(super) const VERSION: i32 = 1;

const SQL: &str = include_str!("schema.sql");

/// Make the schema if the database has none; otherwise see that it is ours and of our version.
/// The caller holds the lock, so nobody else does the same.
pub(super) async fn ensure(client: &Client) -> Result<(), PgError> {
    let is_there = "select to_regnamespace('blaupause') is not null and has_schema_privilege(\
         'blaupause', 'usage'), to_regclass('blaupause.site') is not null, \
         to_regnamespace('blaupause') is not null";
    let row = client.query_one(is_there, &[]).await?;
    let (usable, has_site, exists): (Option<bool>, bool, bool) =
        (row.get(0), row.get(1), row.get(2));
    match (exists, has_site) {
        (false, _) => create(client).await,
        (true, true) => check(client).await,
        (true, false) if usable == Some(false) => {
            Err(PgError::Rights("to use the schema blaupause".into()))
        }
        (true, false) => Err(PgError::Foreign),
    }
}

async fn create(client: &Client) -> Result<(), PgError> {
    let sql = format!(
        "begin; {SQL}
         insert into site (schema, epoch, owner, since) values ({VERSION}, 0, '', now()); commit;"
    );
    if let Err(error) = client.batch_execute(&sql).await {
        let _ = client.batch_execute("rollback").await;
        return Err(error.into());
    }
    tracing::info!(version = VERSION, "database schema created");
    Ok(())
}

async fn check(client: &Client) -> Result<(), PgError> {
    let said = client.simple_query("select schema from blaupause.site").await?;
    let found = said.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    });
    match found {
        Some(VERSION) => Ok(()),
        Some(found) => Err(PgError::Schema { found, wanted: VERSION }),
        None => Err(PgError::Foreign),
    }
}
