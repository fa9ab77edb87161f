//! What a case expects, and the table of what came instead.

use std::fmt::Write as _;

use serde::Deserialize;

use crate::http::Answer;

/// `{"status": [400], "errcode": …}`.
#[derive(Clone, Debug, Deserialize)]
pub struct Expect {
    status: Vec<u16>,
    errcode: Errcodes,
}

/// Null: any or none. A string: this one. A list: one of these, null for none.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Errcodes {
    One(String),
    Some(Vec<Option<String>>),
    Any(()),
}

impl Expect {
    pub fn is_met_by(&self, answer: &Answer) -> bool {
        if !self.status.contains(&answer.status) {
            return false;
        }
        // Of several accepted answers, the one that is a success has no error code.
        if answer.status < 400 {
            return true;
        }
        let got = answer.errcode();
        match &self.errcode {
            Errcodes::Any(()) => true,
            Errcodes::One(wanted) => got.as_ref() == Some(wanted),
            Errcodes::Some(wanted) => wanted.contains(&got),
        }
    }

    /// As [`Expect::is_met_by`], for callers: what matters is who may, not how `{}` is refused.
    pub fn is_met_for_a_caller_by(&self, answer: &Answer) -> bool {
        let is_allowed = self.status.contains(&answer.status);
        match answer.status {
            // Authorisation passed, the body `{}` did not: any code that says so.
            400 => is_allowed && answer.errcode().is_some(),
            // Where 404 stands beside 401, it means that the endpoint is not served.
            404 if self.status.contains(&401) => {
                is_allowed && answer.errcode().as_deref() == Some("M_UNRECOGNIZED")
            }
            _ => self.is_met_by(answer),
        }
    }

    fn shown(&self) -> String {
        let codes = match &self.errcode {
            Errcodes::Any(()) => String::new(),
            Errcodes::One(code) => code.clone(),
            Errcodes::Some(codes) => {
                let codes: Vec<&str> =
                    codes.iter().map(|code| code.as_deref().unwrap_or("-")).collect();
                codes.join("|")
            }
        };
        format!("{:?} {codes}", self.status)
    }
}

/// What went otherwise than expected.
#[derive(Default)]
pub struct Mismatches {
    asked: usize,
    rows: Vec<[String; 4]>,
}

impl Mismatches {
    /// Note an answer; what was expected goes by.
    pub fn note(&mut self, id: &str, expect: &Expect, answer: &Answer, why: &str) {
        self.asked += 1;
        if !expect.is_met_by(answer) {
            self.add(id, expect.shown(), answer.shown(), why);
        }
    }

    /// Note an answer to a kind of caller.
    pub fn note_caller(&mut self, id: &str, expect: &Expect, answer: &Answer) {
        self.asked += 1;
        if !expect.is_met_for_a_caller_by(answer) {
            self.add(id, expect.shown(), answer.shown(), "authorisation matrix");
        }
    }

    /// Note something that is wrong without a case saying so.
    pub fn add(&mut self, id: &str, expected: String, got: String, why: &str) {
        self.rows.push([id.to_owned(), expected, got, why.to_owned()]);
    }

    pub const fn count_one(&mut self) {
        self.asked += 1;
    }

    /// # Panics
    /// If there are any, with all of them.
    pub fn must_be_none(&self) {
        let mut table = String::new();
        for [id, expected, got, why] in &self.rows {
            write!(table, "\n{id}\n    expected {expected}\n    got      {got}\n    {why}")
                .expect("writing to a string");
        }
        let (wrong, asked) = (self.rows.len(), self.asked);
        assert!(self.rows.is_empty(), "{wrong} of {asked} answers are not as expected:{table}");
        println!("{asked} answers, all as expected");
    }
}
