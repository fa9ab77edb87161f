use proptest::prelude::ProptestConfig;

/// Multiplies the number of cases of every property test, for nightly runs.
const FACTOR_VARIABLE: &str = "BLAUPAUSE_GRAPH_CASES_FACTOR";

/// So many cases, times the factor from the environment.
pub fn cases(quick: u32) -> ProptestConfig {
    let factor = std::env::var(FACTOR_VARIABLE).ok().and_then(|text| text.parse().ok());
    ProptestConfig {
        cases: quick * factor.unwrap_or(1),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    }
}
