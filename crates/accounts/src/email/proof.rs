//! Proving an address: a client opens a session, its person follows the link in a mail, the
//! session is good for one thing once (spec: identity service API, "Email associations").

use std::time::Duration;

use blaupause_data::{DIRECTORY, DataError, Write};
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

use super::{
    EmailAddress,
    rows::{ProofRow, StoredProof},
};
use crate::{ATTEMPTS_MAX, Accounts, AccountsError, Secret, registration::millis, secret};

/// How long a link is good.
const LINK_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a link is good that opens an account.
const PASSWORD_LINK_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// How long a proof can be used once the link was followed.
const PROOF_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// Links of one session that are good at the same time: people follow that of an older mail, too.
const LINKS_MAX: usize = 3;
/// Bytes of an address that people are sent to afterwards.
const NEXT_LINK_BYTES_MAX: usize = 2_000;

/// What an address is proved for. A proof is good for nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProofPurpose {
    /// A new account.
    Registration,
    /// A new password for the account that has the address.
    Password,
    /// One more address of an account, which a client adds with the proof.
    Account,
    /// One more address of this account, whose person has asked for it on our pages: it is theirs
    /// as soon as the link was followed, also in a browser that knows nothing of them.
    Own(OwnedUserId),
}

/// A client that wants an address to be proved.
#[derive(Clone, Copy, Debug)]
pub struct AskedProof<'a> {
    pub purpose: &'a ProofPurpose,
    pub address: &'a EmailAddress,
    /// Chosen by the client; with the session it shows that the proof is theirs.
    pub client_secret: &'a str,
    /// A mail is sent if this is more than before.
    pub send_attempt: u64,
    /// Where the person goes afterwards. Checked by the caller.
    pub next_link: Option<&'a str>,
}

/// A session.
#[derive(Debug)]
pub struct OpenedProof {
    pub sid: String,
    /// What a mail to the address must hold; `None`: there is none to send.
    pub token: Option<Secret>,
}

/// What a page shows to a person who followed a link.
#[derive(Clone, Debug)]
pub struct ShownProof {
    pub purpose: ProofPurpose,
    pub address: EmailAddress,
    /// Whether it was confirmed before.
    pub is_proved: bool,
    pub next_link: Option<String>,
}

/// An address whose reader allowed one thing. Only [`Accounts::proved_address`] makes one.
#[derive(Clone, Debug)]
pub struct ProvedAddress {
    pub(super) address: EmailAddress,
    pub(super) validated_ms: u64,
    sid: String,
    version: u64,
}

impl ProvedAddress {
    /// The address.
    pub fn address(&self) -> &EmailAddress {
        &self.address
    }

    /// Use the proof up, in the batch of what it allows.
    pub(crate) fn use_up(&self, write: &mut Write) {
        write.require_version::<ProofRow>(DIRECTORY, &self.sid, self.version);
        write.del::<ProofRow>(DIRECTORY, &self.sid);
    }
}

impl Accounts {
    /// Open a session, or find the one of the same client. For a password of an address that
    /// nobody has, there is a session that never gets anywhere, so that nothing is said about
    /// who has an account.
    ///
    /// # Errors
    /// The address is one that is not taken here, or somebody's already; or the store failed.
    pub async fn open_proof(&self, asked: AskedProof<'_>) -> Result<OpenedProof, AccountsError> {
        let sid = session_id(&asked);
        let owner = self.address_owner(asked.address).await?;
        match (asked.purpose, &owner) {
            (ProofPurpose::Password, _) => {}
            (_, Some(_)) => return Err(AccountsError::AddressInUse),
            (_, None) if !self.settings().email_domains.allow(asked.address) => {
                return Err(AccountsError::AddressDenied);
            }
            (_, None) => {}
        }
        if asked.next_link.is_some_and(|link| link.len() > NEXT_LINK_BYTES_MAX) {
            return Err(AccountsError::Invalid("next_link"));
        }
        for _ in 0..ATTEMPTS_MAX {
            match self.note_mail(&asked, &sid).await {
                Err(AccountsError::Data(DataError::Conflict { .. })) => {}
                done => {
                    // Stored in any case, so that the time taken says nothing either.
                    let is_for_somebody =
                        *asked.purpose != ProofPurpose::Password || owner.is_some();
                    return Ok(OpenedProof { sid, token: done?.filter(|_| is_for_somebody) });
                }
            }
        }
        Err(AccountsError::Busy)
    }

    /// Store what the next mail will hold, if there is to be one.
    async fn note_mail(
        &self,
        asked: &AskedProof<'_>,
        sid: &String,
    ) -> Result<Option<Secret>, AccountsError> {
        let now = self.now_ms();
        let found = self.data().get::<ProofRow>(DIRECTORY, sid).await?;
        let version = found.as_ref().map_or(0, |found| found.version);
        let alive = found.map(|found| found.value).filter(|proof| proof.expires_ms > now);
        let is_done = alive.as_ref().is_some_and(|proof| {
            proof.send_attempt >= asked.send_attempt || proof.validated_ms.is_some()
        });
        if is_done {
            return Ok(None);
        }
        let token = self.data().env().random_text::<32>();
        let mut tokens = alive.map(|proof| proof.tokens).unwrap_or_default();
        tokens.insert(0, secret::hash(&token));
        tokens.truncate(LINKS_MAX);
        let proof = StoredProof {
            purpose: asked.purpose.clone(),
            address: asked.address.as_str().to_owned(),
            client_secret: secret::hash(asked.client_secret),
            send_attempt: asked.send_attempt,
            tokens,
            next_link: asked.next_link.map(ToOwned::to_owned),
            expires_ms: now + millis(link_lifetime(asked.purpose)),
            validated_ms: None,
        };
        let mut write = Write::new(DIRECTORY);
        write.require_version::<ProofRow>(DIRECTORY, sid, version);
        write.put_version::<ProofRow>(DIRECTORY, sid, version + 1, &proof);
        self.data().commit(write).await?;
        Ok(Some(Secret::new(token)))
    }

    /// What a link is about; `None` if it is none of ours, or too old.
    ///
    /// # Errors
    /// The store failed.
    pub async fn shown_proof(
        &self,
        sid: &str,
        token: &str,
    ) -> Result<Option<ShownProof>, AccountsError> {
        Ok(self.linked_proof(sid, token).await?.map(|(_, shown)| shown))
    }

    async fn linked_proof(
        &self,
        sid: &str,
        token: &str,
    ) -> Result<Option<((u64, StoredProof), ShownProof)>, AccountsError> {
        let token = secret::hash(token);
        let found = self.data().get::<ProofRow>(DIRECTORY, &sid.to_owned()).await?;
        let fits = found.filter(|proof| {
            proof.expires_ms > self.now_ms() && proof.value.tokens.contains(&token)
        });
        let Some(found) = fits else { return Ok(None) };
        let Some(address) = EmailAddress::parse(&found.address) else { return Ok(None) };
        let shown = ShownProof {
            purpose: found.purpose.clone(),
            address,
            is_proved: found.validated_ms.is_some(),
            next_link: found.next_link.clone(),
        };
        Ok(Some(((found.version, found.value), shown)))
    }

    /// The person of the address says yes. Doing so twice changes nothing.
    ///
    /// # Errors
    /// The link is none of ours, or too old; for [`ProofPurpose::Own`] also those of
    /// [`Self::add_address`]; or the store failed.
    pub async fn confirm_proof(&self, sid: &str, token: &str) -> Result<ShownProof, AccountsError> {
        for _ in 0..ATTEMPTS_MAX {
            let linked = self.linked_proof(sid, token).await?;
            let ((version, mut proof), shown) = linked.ok_or(AccountsError::AddressUnproved)?;
            if shown.is_proved {
                return Ok(shown);
            }
            let now = self.now_ms();
            if let ProofPurpose::Own(user) = &shown.purpose {
                let (address, sid) = (shown.address.clone(), sid.to_owned());
                let proved = ProvedAddress { address, validated_ms: now, sid, version };
                self.add_address(user, &proved).await?;
                return Ok(ShownProof { is_proved: true, ..shown });
            }
            proof.validated_ms = Some(now);
            proof.expires_ms = now + millis(PROOF_LIFETIME);
            let sid = sid.to_owned();
            let mut write = Write::new(DIRECTORY);
            write.require_version::<ProofRow>(DIRECTORY, &sid, version);
            write.put_version::<ProofRow>(DIRECTORY, &sid, version + 1, &proof);
            match self.data().commit(write).await {
                Ok(_) => return Ok(shown),
                Err(DataError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AccountsError::Busy)
    }

    /// The address that a session proved, for whoever knows the session's secret.
    ///
    /// # Errors
    /// There is no such session, or nothing was proved in it; or the store failed.
    pub async fn proved_address(
        &self,
        purpose: &ProofPurpose,
        sid: &str,
        client_secret: &str,
    ) -> Result<ProvedAddress, AccountsError> {
        let found = self.data().get::<ProofRow>(DIRECTORY, &sid.to_owned()).await?;
        let found = found
            .filter(|proof| {
                proof.purpose == *purpose
                    && proof.expires_ms > self.now_ms()
                    && proof.client_secret == secret::hash(client_secret)
            })
            .ok_or(AccountsError::AddressUnproved)?;
        let validated_ms = found.validated_ms.ok_or(AccountsError::AddressUnproved)?;
        let address = EmailAddress::parse(&found.address).ok_or(AccountsError::AddressUnproved)?;
        Ok(ProvedAddress { address, validated_ms, sid: sid.to_owned(), version: found.version })
    }

    /// Whether a proof was neither used nor replaced meanwhile.
    pub(super) async fn proof_exists(&self, proved: &ProvedAddress) -> Result<bool, AccountsError> {
        let found = self.data().get::<ProofRow>(DIRECTORY, &proved.sid).await?;
        Ok(found.is_some_and(|found| found.version == proved.version))
    }

    /// Remove sessions that are over.
    pub(crate) async fn sweep_proofs(&self) -> Result<(), AccountsError> {
        let now = self.now_ms();
        self.sweep::<ProofRow>(|proof| proof.expires_ms <= now).await?;
        Ok(())
    }
}

fn link_lifetime(purpose: &ProofPurpose) -> Duration {
    match purpose {
        ProofPurpose::Password => PASSWORD_LINK_LIFETIME,
        ProofPurpose::Registration | ProofPurpose::Account | ProofPurpose::Own(_) => LINK_LIFETIME,
    }
}

/// Pure. The same client that asks again for the same address is in the same session, without a
/// search for it.
fn session_id(asked: &AskedProof<'_>) -> String {
    let purpose = match asked.purpose {
        ProofPurpose::Registration => "registration",
        ProofPurpose::Password => "password",
        ProofPurpose::Account => "account",
        ProofPurpose::Own(user) => user.as_str(),
    };
    let text = ["proof", purpose, asked.client_secret, asked.address.as_str()].join("\0");
    secret::hash(&text).iter().map(|byte| format!("{byte:02x}")).collect()
}
