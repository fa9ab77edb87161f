//! The library under Element X against a real server. One server per test.

#![recursion_limit = "256"]

mod accounts;
mod directory;
mod encryption;
mod interop;
mod media;
mod membership;
mod oauth;
mod people;
mod push_rules;
mod receipts;
mod restart;
mod room_list;
mod rooms;
mod spaces;
mod threads;
mod timeline;
mod unread;
mod verification;
mod widgets;
