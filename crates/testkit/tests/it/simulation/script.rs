//! What happens in a simulation: made of its seed, before anything happens. Pure.

use ruma::RoomVersionId;

use super::chance::Chance;

/// Servers of a simulation.
pub const SERVERS: usize = 5;
/// People of each server.
pub const PEOPLE: usize = 2;
/// Everybody, numbered server by server.
pub const ALL: usize = SERVERS * PEOPLE;

/// A person: the server is `number / PEOPLE`.
pub type Person = usize;

/// A simulation before it happens.
#[derive(Debug)]
pub struct Script {
    pub version: RoomVersionId,
    pub rooms: usize,
    pub weather: Weather,
    /// Pauses, and what is done after each.
    pub steps: Vec<(u64, Step)>,
}

/// How the network behaves until everything is mended.
#[derive(Clone, Debug, Default)]
pub struct Weather {
    /// A way takes up to so many milliseconds.
    pub delay_ms: u64,
    /// Of a hundred requests: so many do not arrive …
    pub lost: u64,
    /// … of so many the answer does not …
    pub unanswered: u64,
    /// … and so many arrive twice.
    pub doubled: u64,
    /// Nothing answers on a link that is cut; otherwise it refuses at once.
    pub silent: bool,
}

#[derive(Clone, Debug)]
pub enum Step {
    Act(Act),
    Cut {
        from: usize,
        to: usize,
    },
    Mend {
        from: usize,
        to: usize,
    },
    /// The process ends, wherever it is.
    Kill {
        server: usize,
        down_ms: u64,
    },
}

/// What somebody does in a room.
#[derive(Clone, Debug)]
pub struct Act {
    pub room: usize,
    pub who: Person,
    pub deed: Deed,
}

#[derive(Clone, Debug)]
pub enum Deed {
    Say,
    Topic,
    Name,
    /// State of the person's own.
    Own,
    Power {
        whom: Person,
        level: i64,
    },
    /// What it takes to set the topic.
    TopicLevel {
        level: i64,
    },
    JoinRule(&'static str),
    Join {
        via: usize,
    },
    Leave,
    Invite(Person),
    Kick(Person),
    Ban(Person),
    Unban(Person),
    /// One of the events that were said so far.
    Redact(usize),
    /// Something that has to arrive and is in no room.
    Message {
        to: usize,
    },
}

const VERSIONS: [RoomVersionId; 7] = [
    RoomVersionId::V6,
    RoomVersionId::V7,
    RoomVersionId::V8,
    RoomVersionId::V9,
    RoomVersionId::V10,
    RoomVersionId::V11,
    RoomVersionId::V12,
];

impl Script {
    pub fn of(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        // The newest versions are what rooms have.
        let version = match chance.below(10) {
            0..5 => RoomVersionId::V12,
            5..7 => RoomVersionId::V11,
            _ => chance.one(&VERSIONS).clone(),
        };
        let rooms = if chance.percent(80) { 1 } else { 2 };
        let weather = weather(&mut chance);
        let mut timed = Vec::new();
        let mut now = 0;
        for _ in 0..chance.within(15..45) {
            now += pause(&mut chance);
            timed.push((now, Step::Act(act(&mut chance, rooms))));
        }
        for _ in 0..chance.within(1..4) {
            let begin = chance.within(0..now.max(1));
            swizzle(&mut chance, begin, &mut timed);
        }
        for _ in 0..chance.below(3) {
            let at = chance.within(0..now.max(1));
            let down_ms = if chance.percent(50) { 0 } else { chance.within(0..600_000) };
            timed.push((at, Step::Kill { server: chance.below(SERVERS), down_ms }));
        }
        timed.sort_by_key(|(at, _)| *at);
        let mut before = 0;
        let steps = timed.into_iter().map(|(at, step)| {
            let pause = at - before;
            before = at;
            (pause, step)
        });
        Self { version, rooms, weather, steps: steps.collect() }
    }
}

fn weather(chance: &mut Chance) -> Weather {
    let bad = |chance: &mut Chance, most: u64| {
        if chance.percent(50) { 0 } else { chance.within(1..most) }
    };
    Weather {
        delay_ms: *chance.one(&[1, 20, 200, 3_000]),
        lost: bad(chance, 20),
        unanswered: bad(chance, 20),
        doubled: bad(chance, 20),
        silent: chance.percent(50),
    }
}

/// From "at the same time" to "the next day".
fn pause(chance: &mut Chance) -> u64 {
    match chance.below(20) {
        0..6 => 0,
        6..11 => chance.within(0..100),
        11..16 => chance.within(100..5_000),
        16..19 => chance.within(5_000..120_000),
        _ => chance.within(120_000..7_200_000),
    }
}

fn act(chance: &mut Chance, rooms: usize) -> Act {
    let room = chance.below(rooms);
    // Those with power more often.
    let first = |chance: &mut Chance| chance.below(SERVERS) * PEOPLE;
    let who = if chance.percent(75) { first(chance) } else { chance.below(ALL) };
    let whom = if chance.percent(40) { first(chance) } else { chance.below(ALL) };
    let level = *chance.one(&[0, 25, 50, 75, 100]);
    let deed = match chance.below(100) {
        0..36 => Deed::Say,
        36..46 => Deed::Topic,
        46..51 => Deed::Name,
        51..55 => Deed::Own,
        55..61 => Deed::Power { whom, level },
        61..63 => Deed::TopicLevel { level },
        63..66 => Deed::JoinRule(["public", "invite", "knock", "private"][chance.below(4)]),
        66..76 => Deed::Join { via: chance.below(SERVERS) },
        76..80 => Deed::Leave,
        80..84 => Deed::Invite(whom),
        84..88 => Deed::Kick(whom),
        88..92 => Deed::Ban(whom),
        92..95 => Deed::Unban(whom),
        95..98 => Deed::Redact(chance.below(1_000)),
        _ => Deed::Message { to: chance.below(SERVERS) },
    };
    Act { room, who, deed }
}

/// The links of some servers are cut one by one, and come back in another order: what finds most
/// mistakes in FoundationDB's simulations ("swizzle-clogging").
fn swizzle(chance: &mut Chance, begin: u64, timed: &mut Vec<(u64, Step)>) {
    let mut links = Vec::new();
    let mut servers: Vec<usize> = (0..SERVERS).collect();
    chance.shuffle(&mut servers);
    servers.truncate(1 + chance.below(SERVERS - 1));
    let both_ways = chance.percent(70);
    for from in 0..SERVERS {
        for to in 0..SERVERS {
            let goes_out = servers.contains(&from);
            if from != to && (goes_out || both_ways && servers.contains(&to)) && chance.percent(80)
            {
                links.push((from, to));
            }
        }
    }
    let gap = *chance.one(&[1, 100, 3_000, 60_000]);
    let mut at = begin;
    chance.shuffle(&mut links);
    for (from, to) in &links {
        timed.push((at, Step::Cut { from: *from, to: *to }));
        at += chance.within(0..gap);
    }
    at += *chance.one(&[0, 2_000, 30_000, 600_000, 2 * 3_600_000]);
    chance.shuffle(&mut links);
    for (from, to) in links {
        timed.push((at, Step::Mend { from, to }));
        at += chance.within(0..gap);
    }
}
