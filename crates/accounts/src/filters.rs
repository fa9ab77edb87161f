//! Filters (spec: "Filtering"): stored once, named by a number afterwards.

use std::sync::Arc;

use blaupause_data::{DataError, Write};
use ruma::{UserId, api::client::filter::FilterDefinition};

use crate::{ATTEMPTS_MAX, Accounts, AccountsError, rows::FilterRow};

/// Filters of one user. Clients store the same few again and again.
const FILTERS_MAX: u32 = 200;
/// Bytes of one filter.
const FILTER_BYTES_MAX: usize = 16_384;

impl Accounts {
    /// Store a filter and answer its number. The same filter again has the same number.
    ///
    /// # Errors
    /// The filter is too large, the user has too many, or the store failed.
    pub async fn create_filter(
        &self,
        user: &UserId,
        filter: &FilterDefinition,
    ) -> Result<u64, AccountsError> {
        let json = serde_json::to_string(filter).map_err(|_| AccountsError::Invalid("filter"))?;
        if json.len() > FILTER_BYTES_MAX {
            return Err(AccountsError::TooLarge("filter"));
        }
        let part = self.part(user);
        for _ in 0..ATTEMPTS_MAX {
            let rows = self.data().list::<FilterRow>(part, &(), FILTERS_MAX).await?.rows;
            if let Some((number, _)) = rows.iter().find(|(_, row)| row.value == json) {
                return Ok(*number);
            }
            if rows.len() >= FILTERS_MAX as usize {
                return Err(AccountsError::TooMany("filters"));
            }
            let number = rows.last().map_or(0, |(last, _)| last + 1);
            let mut write = Write::new(part);
            write.require_absent::<FilterRow>(part, &number);
            write.put::<FilterRow>(part, &number, &json);
            match self.data().commit(write).await {
                Ok(_) => return Ok(number),
                Err(DataError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AccountsError::Busy)
    }

    /// A stored filter by what the client calls it; `None` if there is none. From memory, if it
    /// was used lately.
    ///
    /// # Errors
    /// The store failed.
    pub async fn filter(
        &self,
        user: &UserId,
        id: &str,
    ) -> Result<Option<Arc<FilterDefinition>>, AccountsError> {
        // parse() would take a sign as well.
        if !id.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(None);
        }
        let Ok(number) = id.parse::<u64>() else { return Ok(None) };
        let key = (user.to_owned(), number);
        if let Some(filter) = self.0.filters.get(&key) {
            return Ok(Some(filter));
        }
        let ticket = self.0.filters.ticket();
        let Some(row) = self.data().get::<FilterRow>(self.part(user), &number).await? else {
            return Ok(None);
        };
        let damaged = |_| DataError::Damaged("usr/F".into());
        let filter: Arc<FilterDefinition> =
            Arc::new(serde_json::from_str(&row.value).map_err(damaged)?);
        self.0.filters.put(ticket, key, Arc::clone(&filter));
        Ok(Some(filter))
    }
}
