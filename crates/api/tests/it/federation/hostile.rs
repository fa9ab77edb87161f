//! Hostile servers: published attacks, and whatever else a server can send
//! (`docs/reference/attacks.md` lists which test is about what).

mod answers;
mod edus;
mod fetched;
mod keys;
mod pdus;
mod reads;
mod rooms;
mod routes;
mod scene;
