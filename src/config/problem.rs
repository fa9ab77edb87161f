//! What is wrong with a configuration file, and where: file, line, dotted key.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

/// One thing that is wrong or suspicious.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub file: PathBuf,
    /// From 1. `None` if the key stands nowhere in the file.
    pub line: Option<usize>,
    /// Dotted, such as `tls.cert_file`. Empty if the file is no TOML at all.
    pub key: String,
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " {}", self.text)
    }
}

/// Why the server does not start: every problem of the file, not only the first.
#[derive(Debug)]
pub struct Rejected(pub Vec<Problem>);

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Rejected {}

/// What the checks of the sections find. They know keys; lines are looked up afterwards.
#[derive(Debug, Default)]
pub struct Findings {
    pub errors: Vec<(String, String)>,
    pub warnings: Vec<(String, String)>,
}

impl Findings {
    /// A value with which the server cannot start.
    pub fn error(&mut self, key: &str, text: impl Into<String>) {
        self.errors.push((key.to_owned(), text.into()));
    }

    /// A value that is allowed but probably not meant.
    pub fn warn(&mut self, key: &str, text: impl Into<String>) {
        self.warnings.push((key.to_owned(), text.into()));
    }
}

/// A configuration file's text, which knows on which line a key stands.
pub struct Source<'a> {
    pub file: &'a Path,
    pub text: &'a str,
}

impl Source<'_> {
    /// A problem with a key, at the key's line or, if it is absent, its section's.
    pub fn problem(&self, key: &str, text: &str) -> Problem {
        let line = DeTable::parse(self.text)
            .ok()
            .and_then(|table| span_of(table.get_ref(), key))
            .map(|span| self.line(span.start));
        Problem { file: self.file.to_owned(), line, key: key.to_owned(), text: text.to_owned() }
    }

    /// A problem that the TOML parser or the types found.
    pub fn parse_problem(&self, error: &toml::de::Error) -> Problem {
        let span = error.span();
        let key = span.as_ref().and_then(|span| {
            let table = DeTable::parse(self.text).ok()?;
            key_at(table.get_ref(), span)
        });
        Problem {
            file: self.file.to_owned(),
            line: span.map(|span| self.line(span.start)),
            key: key.unwrap_or_default(),
            text: error.message().to_owned(),
        }
    }

    fn line(&self, offset: usize) -> usize {
        let upto = offset.min(self.text.len());
        self.text.as_bytes()[..upto].iter().filter(|byte| **byte == b'\n').count() + 1
    }
}

/// The place of a dotted key, or of the longest part of it that is there.
fn span_of(table: &DeTable<'_>, dotted: &str) -> Option<Range<usize>> {
    let (first, rest) = dotted.split_once('.').unwrap_or((dotted, ""));
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == first)?;
    match value.get_ref() {
        DeValue::Table(inner) if !rest.is_empty() => {
            Some(span_of(inner, rest).unwrap_or_else(|| key.span()))
        }
        _ => Some(key.span()),
    }
}

/// The dotted key whose name or value stands at this place.
fn key_at(table: &DeTable<'_>, at: &Range<usize>) -> Option<String> {
    let holds = |span: Range<usize>| span.start <= at.start && at.end <= span.end;
    for (key, value) in table {
        let name: &str = key.get_ref();
        let below = match value.get_ref() {
            DeValue::Table(inner) => key_at(inner, at),
            DeValue::Array(items) => items.iter().find_map(|item| match item.get_ref() {
                DeValue::Table(inner) => key_at(inner, at),
                _ => None,
            }),
            _ => None,
        };
        if let Some(below) = below {
            return Some(format!("{name}.{below}"));
        }
        if holds(key.span()) || holds(value.span()) {
            return Some(name.to_owned());
        }
    }
    None
}
