//! What the specification says of both kinds of sync, rule by rule, against a server in memory.

mod budgets;
mod devices;
mod lazy;
mod own;
mod presence;
mod sections;
mod sliding;
mod sliding_more;
mod timelines;
mod waiting;
mod world;
