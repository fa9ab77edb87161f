//! Whose devices changed, for those who share an encrypted room with them.

use std::{collections::BTreeSet, ops::Bound};

use blaupause_data::{Change, DIRECTORY, Order, ReadSet, StreamPos};
use ruma::{OwnedUserId, UserId};

use crate::{
    E2ee, E2eeError,
    rows::{DeviceChangeRow, SignedRow},
};

/// Changes that one answer names. A client that missed more is told about the newest ones; it
/// looks up the others when it meets their devices.
const CHANGES_MAX: u32 = 50_000;

/// Users to look up again, and users whose devices need not be followed any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceListChanges {
    pub changed: BTreeSet<OwnedUserId>,
    pub left: BTreeSet<OwnedUserId>,
}

impl E2ee {
    /// Users whose devices or keys changed in `since < position <= until` (all users of this
    /// server; the caller keeps those who share a room). From memory if it reaches back so far.
    ///
    /// # Errors
    /// The store failed.
    pub async fn devices_changed(
        &self,
        since: StreamPos,
        until: StreamPos,
    ) -> Result<BTreeSet<OwnedUserId>, E2eeError> {
        let recent = self.recent_users(since, until, |change| match change {
            Change::Devices { user } => Some(user),
            _ => None,
        });
        if let Some(recent) = recent {
            return Ok(recent);
        }
        let mut want = ReadSet::new();
        let rows = want.range::<DeviceChangeRow>(
            DIRECTORY,
            Bound::Excluded(&since),
            Bound::Included(&until),
            Order::Backward,
            CHANGES_MAX,
        );
        let got = want.run(self.data()).await?;
        Ok(got.many(rows)?.rows.into_iter().map(|(_, row)| row.value).collect())
    }

    /// Users that changes in `since < position <= until` name; `None` if memory does not reach back
    /// so far.
    fn recent_users(
        &self,
        since: StreamPos,
        until: StreamPos,
        named: impl Fn(&Change) -> Option<&OwnedUserId>,
    ) -> Option<BTreeSet<OwnedUserId>> {
        let recent = self.data().feed().between(since, until)?;
        let changes = recent.iter().flat_map(|(_, changes)| changes.iter());
        Some(changes.filter_map(named).cloned().collect())
    }

    /// Users whose master keys `signer` signed in `since < position <= until`: their keys look
    /// different to the signer now, and to nobody else. From memory if it reaches back so far.
    ///
    /// # Errors
    /// The store failed.
    pub async fn signed_by(
        &self,
        signer: &UserId,
        since: StreamPos,
        until: StreamPos,
    ) -> Result<BTreeSet<OwnedUserId>, E2eeError> {
        let recent = self.recent_users(since, until, |change| match change {
            Change::Signed { signer: by, of } if by == signer => Some(of),
            _ => None,
        });
        if let Some(recent) = recent {
            return Ok(recent);
        }
        let part = self.data().parts().user(signer);
        let signed = self.data().list_all::<SignedRow>(part, &(), CHANGES_MAX).await?;
        let is_new = |pos: StreamPos| since < pos && pos <= until;
        let new = signed.rows.into_iter().filter(|(_, row)| is_new(row.pos));
        Ok(new.map(|(of, _)| of).collect())
    }

    /// Say that a local user's set of devices changed, where no other batch says so.
    ///
    /// # Errors
    /// The store failed.
    pub async fn touch_devices(&self, user: &UserId) -> Result<(), E2eeError> {
        let mut write = blaupause_data::Write::new(self.data().parts().user(user));
        self.note_devices_changed(&mut write, user).await?;
        self.data().commit(write).await?;
        Ok(())
    }
}
