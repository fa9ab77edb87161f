//! Writing debts.

use std::{collections::BTreeMap, sync::Arc};

use blaupause_data::{Change, DIRECTORY, DataError, NOW, NewLines, Order, ReadSet, Write};
use blaupause_graph::EventNo;
use ruma::{OwnedRoomId, OwnedServerName, RoomId, ServerName};

use super::{
    Link,
    queue::{EVENTS_KEPT_AWAY_MAX, EVENTS_KEPT_MAX},
    rows::{DebtorRow, OutEdu, OutEduRow, Owed, OwedEvent, OwedRow},
};
use crate::Federation;

/// Servers and rooms of one batch, within the store's limits.
const PAIRS_MAX: usize = 200;
/// Bytes of one EDU, within what a row may have.
const EDU_BYTES_MAX: usize = 95_000;
/// Attempts while a task takes the same rows away.
const ATTEMPTS_MAX: usize = 20;

/// Events by server and room.
pub(super) type NewDebts = BTreeMap<(OwnedServerName, OwnedRoomId), Vec<OwedEvent>>;

impl Federation {
    /// Owe a server an EDU that must arrive: it is durable with the batch, and sent after it. The
    /// content is that of the specification for the type; what has more than 95,000 bytes is not
    /// sent.
    ///
    /// Nothing is owed to a server that this one has nothing to do with.
    pub fn owe_edu(
        &self,
        write: &mut Write,
        to: &ServerName,
        kind: &str,
        content: &impl serde::Serialize,
    ) {
        if to == self.data().server_name() || self.permits(to).is_err() {
            return;
        }
        let part = self.data().parts().server(to);
        let json = super::passing::as_edu(kind, content);
        if json.len() > EDU_BYTES_MAX {
            // A batch with it could not be written, and nothing that comes after it either.
            tracing::warn!(%to, kind, bytes = json.len(), "an EDU is too large to be sent");
            return;
        }
        let edu = OutEdu { at_ms: self.data().env().now_millis(), json };
        // No two rows of a batch have the same number of rows before them.
        let index = u16::try_from(write.len()).unwrap_or(u16::MAX);
        write.put::<OutEduRow>(part, &(NOW, index), &edu);
        self.note_debtor(write, to);
    }

    /// Owe servers an event that is not this server's own, or that they are not in the room for:
    /// what a server brought us by `send_join`, for the others in the room. Durable when this
    /// returns.
    ///
    /// # Errors
    /// The store failed.
    pub async fn owe_event(
        &self,
        room: &RoomId,
        no: EventNo,
        to: &[OwnedServerName],
    ) -> Result<(), DataError> {
        let event = self.data().event(self.data().parts().room(room), no).await?;
        let Some(place) = event.and_then(|event| event.place) else { return Ok(()) };
        let to = to.iter().filter(|server| self.may_be_owed(server));
        let debts =
            to.map(|server| ((server.clone(), room.to_owned()), vec![OwedEvent { place, no }]));
        self.owe_all(debts.collect(), None).await
    }

    pub(super) fn may_be_owed(&self, server: &ServerName) -> bool {
        server != self.data().server_name() && self.permits(server).is_ok()
    }

    /// Durable when this returns. `lines`: those that ask for it; the last batch says that they are
    /// dealt with.
    pub(super) async fn owe_all(
        &self,
        debts: NewDebts,
        mut lines: Option<&mut NewLines>,
    ) -> Result<(), DataError> {
        let debts: Vec<_> = debts.into_iter().collect();
        let mut chunks = debts.chunks(PAIRS_MAX).peekable();
        while let Some(some) = chunks.next() {
            let mut lines = lines.as_deref_mut().filter(|_| chunks.peek().is_none());
            let mut attempts = 0;
            loop {
                match self.try_owe(some, lines.as_deref_mut()).await {
                    Err(DataError::Conflict { .. }) if attempts < ATTEMPTS_MAX => attempts += 1,
                    done => break done?,
                }
            }
        }
        Ok(())
    }

    /// One read, one batch.
    async fn try_owe(
        &self,
        debts: &[((OwnedServerName, OwnedRoomId), Vec<OwedEvent>)],
        lines: Option<&mut NewLines>,
    ) -> Result<(), DataError> {
        let parts = self.data().parts();
        let keys: Vec<_> = debts
            .iter()
            .map(|((server, room), _)| (parts.server(server), parts.room(room)))
            .collect();
        let rows = self.data().get_many::<OwedRow>(keys.iter().map(|(part, key)| (*part, key)));
        let Some((home, _)) = keys.first() else { return Ok(()) };
        let mut write = Write::new(*home);
        for (((((server, room), events), (part, key)), row), first) in
            debts.iter().zip(&keys).zip(rows.await?).zip(is_first_of_server(debts))
        {
            let version = row.as_ref().map_or(0, |row| row.version);
            let known = row.map(|row| row.value).filter(|owed| owed.room_id == *room);
            let mut owed = known.unwrap_or_else(|| Owed::of(room));
            let most = self.kept_for(server);
            events.iter().for_each(|event| owed.add(*event, most));
            write.require_version::<OwedRow>(*part, key, version);
            write.put_version::<OwedRow>(*part, key, version + 1, &owed);
            if first {
                self.note_debtor(&mut write, server);
            }
        }
        if let Some(lines) = lines {
            lines.note_in(&mut write);
        }
        self.data().commit(write).await?;
        let servers = debts.iter().map(|((server, _), _)| server.clone());
        self.sender().known.lock().extend(servers);
        Ok(())
    }

    /// How many events of a room are kept for a server.
    fn kept_for(&self, server: &ServerName) -> usize {
        let links = self.sender().links.lock();
        let now = self.data().env().now_millis();
        let is_away = |link: &Arc<Link>| link.state.lock().waiting.is_long_away(now);
        if links.get(server).is_some_and(is_away) { EVENTS_KEPT_AWAY_MAX } else { EVENTS_KEPT_MAX }
    }

    fn note_debtor(&self, write: &mut Write, server: &ServerName) {
        if !self.sender().known.lock().contains(server) {
            write.put::<DebtorRow>(DIRECTORY, &server.to_string(), &());
        }
        write.change(&Change::Owed { server: server.to_owned() });
    }

    /// Which of these servers are owed something. One read.
    pub(super) async fn are_owed(
        &self,
        servers: &[OwnedServerName],
    ) -> Result<Vec<bool>, DataError> {
        let mut want = ReadSet::new();
        let slots: Vec<_> = servers
            .iter()
            .map(|server| {
                let part = self.data().parts().server(server);
                let events = want.prefix::<OwedRow>(part, &(), Order::Forward, 1);
                (events, want.prefix::<OutEduRow>(part, &(), Order::Forward, 1))
            })
            .collect();
        let got = want.run(self.data()).await?;
        let owed = slots.into_iter().map(|(events, edus)| {
            Ok(!got.many(events)?.rows.is_empty() || !got.many(edus)?.rows.is_empty())
        });
        owed.collect()
    }
}

/// Debts are in order of servers.
fn is_first_of_server(
    debts: &[((OwnedServerName, OwnedRoomId), Vec<OwedEvent>)],
) -> impl Iterator<Item = bool> {
    let mut before: Option<&OwnedServerName> = None;
    debts.iter().map(move |((server, _), _)| before.replace(server) != Some(server))
}
