//! Hostile servers: published attacks, and whatever else a server can send
//! (`docs/reference/attacks.md` lists which test is about what).

mod answers;
mod cases;
mod edus;
mod fetched;
mod histories;
mod keys;
mod pdus;
mod reads;
mod rooms;
mod routes;
mod scene;
mod wrong;

use crate::endpoints::servers::sources;

/// One row an attack; the last column is a test.
const ATTACKS: &str = include_str!("../../../../../docs/reference/attacks.md");

#[test]
fn every_attack_of_the_list_has_its_test() {
    let sources = sources();
    let rows = ATTACKS.lines().filter(|line| line.starts_with("| ") && line.contains('`'));
    let tests: Vec<&str> = rows.filter_map(|row| row.rsplit('`').nth(1)).collect();
    assert!(tests.len() > 50, "{}", tests.len());
    let gone: Vec<_> =
        tests.iter().filter(|test| !sources.contains(&format!("fn {test}("))).collect();
    assert!(gone.is_empty(), "{gone:?}");
}
