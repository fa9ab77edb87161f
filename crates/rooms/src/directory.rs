//! The room directory: rooms that their people want to be found.

use std::cmp::Reverse;

use blaupause_data::{DIRECTORY, Order, ReadSet, Write};
use ruma::{
    OwnedRoomId, RoomId, UserId,
    directory::{Filter, PublicRoomsChunk, RoomTypeFilter},
    room::RoomSummary,
};

use crate::{
    Rooms, RoomsError,
    rows::{NetworkRoomRow, Published, PublishedRow},
};

/// Published rooms that a query looks at.
const PUBLISHED_LOOKED_AT_MAX: u32 = 10_000;
/// Rooms of one page, and what a client gets that does not say how many it wants.
const PAGE_ROOMS_MAX: usize = 500;
const PAGE_ROOMS_DEFAULT: usize = 100;

/// Bytes of a network's name.
const NETWORK_BYTES_MAX: usize = 255;

/// A query of the room directory.
#[derive(Clone, Debug, Default)]
pub struct DirectoryQuery {
    pub filter: Filter,
    pub limit: Option<usize>,
    /// Token of an earlier page.
    pub since: Option<String>,
    /// Whose directory.
    pub network: Network,
}

/// Directories: ours, and those that application services keep for the networks they bridge to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    #[default]
    Matrix,
    All,
    /// The id of an application service and its name for the network.
    One {
        service: String,
        network: String,
    },
    /// None that is known: it has no rooms.
    Unknown,
}

impl Network {
    /// How clients name the directory of a network (`instance_id` of a third-party protocol).
    pub fn instance_id(service: &str, network: &str) -> String {
        format!("{service}|{network}")
    }

    /// The directory of that name. An id of a service may hold any sign, a network's less.
    pub fn of_instance(id: &str) -> Self {
        id.rsplit_once('|').map_or(Self::Unknown, |(service, network)| Self::One {
            service: service.to_owned(),
            network: network.to_owned(),
        })
    }
}

/// A page of the room directory, the largest rooms first.
#[derive(Clone, Debug)]
pub struct DirectoryPage {
    pub rooms: Vec<PublicRoomsChunk>,
    pub next: Option<String>,
    pub previous: Option<String>,
    /// Rooms that pass the filter.
    pub total: usize,
}

/// Where a room stands in the directory.
type Rank = (Reverse<u64>, OwnedRoomId);

/// A page starts after a room, or ends before it.
enum Since {
    After(Rank),
    Before(Rank),
}

impl Since {
    fn token(&self) -> String {
        match self {
            Self::After((joined, room)) => format!("n{}_{room}", joined.0),
            Self::Before((joined, room)) => format!("p{}_{room}", joined.0),
        }
    }

    fn parse(token: &str) -> Option<Self> {
        let (joined, room) = token.get(1..)?.split_once('_')?;
        let rank = (Reverse(joined.parse().ok()?), OwnedRoomId::try_from(room).ok()?);
        match token.get(..1)? {
            "n" => Some(Self::After(rank)),
            "p" => Some(Self::Before(rank)),
            _ => None,
        }
    }
}

impl Rooms {
    /// Whether a room is in the directory.
    ///
    /// # Errors
    /// [`RoomsError::RoomUnknown`].
    pub async fn is_published(&self, room: &RoomId) -> Result<bool, RoomsError> {
        self.head(room).await?.ok_or(RoomsError::RoomUnknown)?;
        Ok(self.data().get::<PublishedRow>(DIRECTORY, &room.to_owned()).await?.is_some())
    }

    /// Put a room into the directory or take it out. For members who may set the room's canonical
    /// alias.
    ///
    /// # Errors
    /// [`RoomsError::RoomUnknown`], [`RoomsError::Forbidden`].
    pub async fn publish(
        &self,
        user: &UserId,
        room: &RoomId,
        published: bool,
    ) -> Result<(), RoomsError> {
        self.head(room).await?.ok_or(RoomsError::RoomUnknown)?;
        if !self.may_name(user, room).await? {
            return Err(RoomsError::Forbidden("you may not change how this room is found"));
        }
        self.write_published(user, room, published).await
    }

    /// As [`Rooms::publish`] for who runs the server: the directory is the server's.
    ///
    /// # Errors
    /// [`RoomsError::RoomUnknown`].
    pub async fn publish_as_admin(
        &self,
        admin: &UserId,
        room: &RoomId,
        published: bool,
    ) -> Result<(), RoomsError> {
        self.head(room).await?.ok_or(RoomsError::RoomUnknown)?;
        self.write_published(admin, room, published).await
    }

    pub(crate) async fn write_published(
        &self,
        user: &UserId,
        room: &RoomId,
        published: bool,
    ) -> Result<(), RoomsError> {
        let mut write = Write::new(self.data().parts().room(room));
        let room = room.to_owned();
        if published {
            let by = user.to_owned();
            write.put::<PublishedRow>(DIRECTORY, &room, &Published { by });
        } else {
            write.del::<PublishedRow>(DIRECTORY, &room);
        }
        self.data().commit(write).await?;
        Ok(())
    }

    /// A page of the directory.
    ///
    /// # Errors
    /// [`RoomsError::Invalid`] for a token that this server did not give.
    pub async fn published(&self, query: &DirectoryQuery) -> Result<DirectoryPage, RoomsError> {
        let since = match query.since.as_deref() {
            None | Some("") => None,
            Some(token) => {
                let since = Since::parse(token);
                Some(since.ok_or(RoomsError::Invalid("unknown pagination token"))?)
            }
        };
        let rooms = self.published_on(&query.network).await?;
        let term = query.filter.generic_search_term.as_ref().map(|term| term.to_lowercase());
        let mut found: Vec<(Rank, RoomSummary)> = self
            .summaries(&rooms)
            .await?
            .into_iter()
            .flatten()
            .filter(|room| has_type(room, &query.filter.room_types))
            .filter(|room| term.as_ref().is_none_or(|term| mentions(room, term)))
            .map(|room| ((Reverse(room.num_joined_members.into()), room.room_id.clone()), room))
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(page(&found, since.as_ref(), query.limit))
    }

    async fn published_on(&self, network: &Network) -> Result<Vec<OwnedRoomId>, RoomsError> {
        let most = PUBLISHED_LOOKED_AT_MAX;
        let mut want = ReadSet::new();
        let ours = matches!(network, Network::Matrix | Network::All)
            .then(|| want.prefix::<PublishedRow>(DIRECTORY, &(), Order::Forward, most));
        let bridged = match network {
            Network::Matrix | Network::Unknown => None,
            Network::All => {
                Some(want.prefix::<NetworkRoomRow>(DIRECTORY, &(), Order::Forward, most))
            }
            Network::One { service, network } => {
                let of = (service.clone(), network.clone());
                Some(want.prefix::<NetworkRoomRow>(DIRECTORY, &of, Order::Forward, most))
            }
        };
        let got = want.run(self.data()).await?;
        let mut rooms = Vec::new();
        if let Some(ours) = ours {
            rooms.extend(got.many(ours)?.rows.into_iter().map(|(room, _)| room));
        }
        if let Some(bridged) = bridged {
            rooms.extend(got.many(bridged)?.rows.into_iter().map(|((_, _, room), _)| room));
            rooms.sort();
            rooms.dedup();
        }
        Ok(rooms)
    }

    /// Put a room into the directory that an application service keeps for a network, or take it
    /// out.
    ///
    /// # Errors
    /// [`RoomsError::RoomUnknown`]; [`RoomsError::Invalid`] if the network's name cannot be.
    pub async fn publish_on_network(
        &self,
        service: &str,
        network: &str,
        room: &RoomId,
        published: bool,
    ) -> Result<(), RoomsError> {
        if network.is_empty() || network.len() > NETWORK_BYTES_MAX || network.contains('|') {
            return Err(RoomsError::Invalid("this cannot be the name of a network"));
        }
        self.head(room).await?.ok_or(RoomsError::RoomUnknown)?;
        let key = (service.to_owned(), network.to_owned(), room.to_owned());
        let mut write = Write::new(self.data().parts().room(room));
        if published {
            write.put::<NetworkRoomRow>(DIRECTORY, &key, &());
        } else {
            write.del::<NetworkRoomRow>(DIRECTORY, &key);
        }
        self.data().commit(write).await?;
        Ok(())
    }

    /// The rooms that a user is joined to.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn joined_rooms(&self, user: &UserId) -> Result<Vec<OwnedRoomId>, RoomsError> {
        Ok(self.data().joined_rooms(user).await?)
    }
}

fn page(
    found: &[(Rank, RoomSummary)],
    since: Option<&Since>,
    limit: Option<usize>,
) -> DirectoryPage {
    let total = found.len();
    let limit = limit.unwrap_or(PAGE_ROOMS_DEFAULT).clamp(1, PAGE_ROOMS_MAX);
    let (start, end) = match since {
        None => (0, limit.min(total)),
        Some(Since::After(rank)) => {
            let start = found.partition_point(|(at, _)| at <= rank);
            (start, (start + limit).min(total))
        }
        Some(Since::Before(rank)) => {
            let end = found.partition_point(|(at, _)| at < rank);
            (end.saturating_sub(limit), end)
        }
    };
    let shown = &found[start..end];
    let next = shown.last().filter(|_| end < total);
    let previous = shown.first().filter(|_| start > 0);
    DirectoryPage {
        next: next.map(|(rank, _)| Since::After(rank.clone()).token()),
        previous: previous.map(|(rank, _)| Since::Before(rank.clone()).token()),
        total,
        rooms: shown.iter().map(|(_, room)| PublicRoomsChunk::from(room.clone())).collect(),
    }
}

fn has_type(room: &RoomSummary, wanted: &[RoomTypeFilter]) -> bool {
    let own = RoomTypeFilter::from(room.room_type.as_ref().map(|kind| kind.to_string()));
    wanted.is_empty() || wanted.contains(&own)
}

/// `term` is in lower case.
fn mentions(room: &RoomSummary, term: &str) -> bool {
    let alias = room.canonical_alias.as_ref().map(|alias| alias.as_str());
    [room.name.as_deref(), room.topic.as_deref(), alias]
        .into_iter()
        .flatten()
        .any(|text| text.to_lowercase().contains(term))
}
