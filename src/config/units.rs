//! Values as an operator writes them: `"50 MiB"`, `"30s"`, `"10.0.0.0/8"`, `""` for "not set".

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Read and write a type through its text form.
macro_rules! as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

/// A number of bytes: `"512 B"`, `"64 KiB"`, `"50 MiB"`, `"2 GiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

/// Biggest first: the text form takes the biggest unit that divides the number.
const SIZE_UNITS: [(&str, u64); 4] =
    [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Size {
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_with_units(text, &SIZE_UNITS).map(Self).ok_or_else(|| {
            format!("`{text}` is not a size; write it like \"50 MiB\" (B, KiB, MiB, GiB)")
        })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = biggest_unit(self.0, &SIZE_UNITS);
        write!(f, "{} {unit}", self.0 / factor)
    }
}

as_text!(Size);

/// A length of time: `"500ms"`, `"30s"`, `"5m"`, `"2h"`, `"7d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(u64);

/// In milliseconds, biggest first.
const PERIOD_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Period {
    pub const ZERO: Self = Self(0);

    pub const fn seconds(count: u64) -> Self {
        Self(count * 1_000)
    }

    pub const fn minutes(count: u64) -> Self {
        Self(count * 60_000)
    }

    pub const fn hours(count: u64) -> Self {
        Self(count * 3_600_000)
    }

    pub const fn days(count: u64) -> Self {
        Self(count * 86_400_000)
    }

    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_with_units(text, &PERIOD_UNITS).map(Self).ok_or_else(|| {
            format!("`{text}` is not a length of time; write it like \"30s\" (ms, s, m, h, d)")
        })
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nothing divides zero best; seconds read naturally.
        let (unit, factor) =
            if self.0 == 0 { ("s", 1) } else { biggest_unit(self.0, &PERIOD_UNITS) };
        write!(f, "{}{unit}", self.0 / factor)
    }
}

as_text!(Period);

fn parse_with_units(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let count: u64 = text[..digits].parse().ok()?;
    let unit = text[digits..].trim_start();
    let (_, factor) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    count.checked_mul(*factor)
}

fn biggest_unit<'a>(count: u64, units: &[(&'a str, u64)]) -> (&'a str, u64) {
    *units
        .iter()
        .find(|(_, factor)| count.is_multiple_of(*factor) && count >= *factor)
        .or(units.last())
        .expect("the unit lists are not empty")
}

/// A value that may be left empty. TOML has no null, and an operator should see every key: `""` is
/// "not set".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maybe<T>(Option<T>);

impl<T> Default for Maybe<T> {
    fn default() -> Self {
        Self::none()
    }
}

impl<T> Maybe<T> {
    pub const fn none() -> Self {
        Self(None)
    }

    pub fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

impl Maybe<PathBuf> {
    pub fn path(&self) -> Option<&Path> {
        self.0.as_deref()
    }
}

impl Maybe<String> {
    pub fn text(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl<T: Serialize> Serialize for Maybe<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(value) => value.serialize(serializer),
            None => serializer.serialize_str(""),
        }
    }
}

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Maybe<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self(None));
        }
        text.parse().map(|value| Self(Some(value))).map_err(de::Error::custom)
    }
}

/// A range of addresses: `"10.0.0.0/8"`, `"fd00::/8"`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    address: IpAddr,
    bits: u8,
}

impl Net {
    /// Whether the address lies in the range. An IPv4 address written as IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(other)) => same_prefix(
                u128::from(net.to_bits()) << 96,
                u128::from(other.to_bits()) << 96,
                self.bits,
            ),
            (IpAddr::V6(net), IpAddr::V6(other)) => {
                same_prefix(net.to_bits(), other.to_bits(), self.bits)
            }
            _ => false,
        }
    }

    /// Whether the range holds every address: trusting it trusts the whole world.
    pub const fn is_everything(&self) -> bool {
        self.bits == 0
    }
}

fn same_prefix(a: u128, b: u128, bits: u8) -> bool {
    bits == 0 || (a ^ b) >> (128 - u32::from(bits)) == 0
}

impl FromStr for Net {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || format!("`{text}` is not an address or a range like \"10.0.0.0/8\"");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| bad())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(bits_max);
        if bits > bits_max {
            return Err(bad());
        }
        Ok(Self { address, bits })
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

as_text!(Net);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_periods_read_back_what_they_print() {
        for text in ["512 B", "64 KiB", "50 MiB", "2 GiB", "0 B"] {
            assert_eq!(text.parse::<Size>().map(|s| s.to_string()).as_deref(), Ok(text));
        }
        for text in ["500ms", "30s", "5m", "2h", "7d", "0s", "90m"] {
            assert_eq!(text.parse::<Period>().map(|p| p.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn sizes_and_periods_without_a_known_unit_are_refused() {
        for text in ["", "50", "MiB", "50 MB", "-1 MiB", "1.5 GiB", "99999999999999999999 GiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        for text in ["", "30", "s", "1w", "-1s", "1 year"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_range_holds_its_addresses_and_no_others() {
        let net: Net = "10.1.0.0/16".parse().expect("a range");
        assert!(net.contains("10.1.255.1".parse().expect("an address")));
        assert!(net.contains("::ffff:10.1.0.1".parse().expect("an address")));
        assert!(!net.contains("10.2.0.1".parse().expect("an address")));
        assert!(!net.contains("fd00::1".parse().expect("an address")));
        let one: Net = "::1".parse().expect("an address");
        assert!(one.contains("::1".parse().expect("an address")));
        assert!("10.0.0.0/33".parse::<Net>().is_err());
        assert!("10.0.0.0/x".parse::<Net>().is_err());
    }
}
