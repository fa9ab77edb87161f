//! Whose sessions at providers are: a logout token may name nothing else (OpenID Connect
//! Back-Channel Logout 1.0, section 2.4).

use std::collections::HashSet;

use blaupause_accounts::Origin;
use blaupause_data::{Order, Part, ReadSet, Write};
use ruma::{OwnedUserId, UserId};

use crate::{
    Sso, SsoError,
    rows::{SessionRow, StoredSession, UserSessionRow},
};

/// Bytes of a `sid`. A longer one is not kept, and no logout token can name it.
pub(crate) const SESSION_BYTES_MAX: usize = 255;
/// Sessions of one user that are looked at when old ones are forgotten.
const SESSIONS_MAX: u32 = 1_000;
/// A session from which nothing is open is kept so long: what is opened from it stands a moment
/// after the sign-in.
const UNUSED_MS: u64 = 15 * 60 * 1000;

impl Sso {
    fn session_part(&self, provider: &str, session: &str) -> Part {
        self.data().parts().named(b'O', &format!("{provider}\0{session}"))
    }

    /// Who came in from this session of a provider.
    pub(crate) async fn whose_session(
        &self,
        provider: &str,
        session: &str,
    ) -> Result<Option<OwnedUserId>, SsoError> {
        let part = self.session_part(provider, session);
        let key = (provider.to_owned(), session.to_owned());
        let found = self.data().get::<SessionRow>(part, &key).await?;
        Ok(found.map(|found| found.value.user_id))
    }

    /// Note whose session this is, and forget those of the same user from which nothing is open
    /// here any more.
    pub(crate) async fn note_session(
        &self,
        user: &UserId,
        origin: &Origin,
    ) -> Result<(), SsoError> {
        let Some(session) = &origin.session else { return Ok(()) };
        let part = self.data().parts().user(user);
        let mut want = ReadSet::new();
        let noted = want.prefix::<UserSessionRow>(part, &(), Order::Forward, SESSIONS_MAX);
        let noted = want.run(self.data()).await?.many(noted)?.rows;
        let now = self.data().env().now_millis();
        let mut old: HashSet<(String, String)> = noted
            .into_iter()
            .filter(|(_, seen_ms)| seen_ms.value.saturating_add(UNUSED_MS) <= now)
            .map(|(key, _)| key)
            .collect();
        if !old.is_empty() {
            for open in self.accounts().opened_elsewhere(user).await? {
                if let Some(session) = open.session {
                    old.remove(&(open.provider, session));
                }
            }
        }
        let mut write = Write::new(part);
        for key in &old {
            write.del::<UserSessionRow>(part, key);
            write.del::<SessionRow>(self.session_part(&key.0, &key.1), key);
        }
        let key = (origin.provider.clone(), session.clone());
        write.put::<UserSessionRow>(part, &key, &now);
        let stored = StoredSession { user_id: user.to_owned() };
        write.put::<SessionRow>(self.session_part(&origin.provider, session), &key, &stored);
        self.data().commit(write).await?;
        Ok(())
    }
}
