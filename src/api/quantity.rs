//! Shares and durations as people write them: `0.5%`, `1h30m`.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A text that is no share or no duration, with what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseQuantityError {
    /// Not a share.
    #[error("'{0}' is not a share: write a number from 0 to 100 with a percent sign, such as 0.5%")]
    Percent(String),
    /// Not a number of bytes.
    #[error("'{0}' is not a number of bytes: write a whole number with Ki, Mi or Gi, such as 20Mi")]
    ByteSize(String),
    /// Not a duration.
    #[error("'{0}' is not a duration: write whole numbers with ms, s, m, h or d, such as 90s or 1h30m")]
    Span(String),
}

/// A share from 0 % to 100 %, written `1%` or `0.25%`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Percent(f64);

impl Percent {
    /// From a ratio, clamped to 0..=1.
    pub fn from_ratio(ratio: f64) -> Self {
        // NaN becomes 0: a share of nothing is no share.
        Self(if ratio.is_nan() { 0.0 } else { ratio.clamp(0.0, 1.0) * 100.0 })
    }
    /// As a ratio, 0..=1.
    pub fn ratio(self) -> f64 {
        self.0 / 100.0
    }
    /// As a number of percent, 0..=100.
    pub fn percent(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // At most four decimals, without trailing zeros: what is shown parses back to what is meant.
        let text = format!("{:.4}", self.0);
        write!(f, "{}%", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl FromStr for Percent {
    type Err = ParseQuantityError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseQuantityError::Percent(text.to_owned());
        let number = text.strip_suffix('%').ok_or_else(bad)?;
        if !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(bad());
        }
        let value: f64 = number.parse().map_err(|_| bad())?;
        if (0.0..=100.0).contains(&value) { Ok(Self(value)) } else { Err(bad()) }
    }
}

/// A number of bytes, written `20Mi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(u64);

/// Binary units, the largest first.
const BYTE_UNITS: [(&str, u64); 3] = [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];

impl ByteSize {
    /// From whole MiB.
    pub const fn from_mib(mib: u64) -> Self {
        Self(mib << 20)
    }
    /// In bytes.
    pub fn bytes(self) -> f64 {
        self.0 as f64
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, size): &&(&str, u64)| self.0 > 0 && self.0.is_multiple_of(*size);
        match BYTE_UNITS.iter().find(whole) {
            Some((unit, size)) => write!(f, "{}{unit}", self.0 / size),
            None => write!(f, "{}", self.0),
        }
    }
}

impl FromStr for ByteSize {
    type Err = ParseQuantityError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseQuantityError::ByteSize(text.to_owned());
        let unit = BYTE_UNITS.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, *size)));
        let (number, size) = unit.unwrap_or((text, 1));
        if number.is_empty() || number.len() > 12 || !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        number.parse::<u64>().ok().and_then(|number| number.checked_mul(size)).map(Self).ok_or_else(bad)
    }
}

/// A duration, written `300ms`, `90s` or `1h30m`; at most 365 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(i64);

impl Span {
    /// From milliseconds; negative ones become zero.
    pub const fn from_millis(millis: i64) -> Self {
        Self(if millis < 0 { 0 } else { millis })
    }
    /// From seconds; negative ones become zero.
    pub const fn from_secs(secs: i64) -> Self {
        Self::from_millis(secs.saturating_mul(1000))
    }
    /// In milliseconds.
    pub const fn millis(self) -> i64 {
        self.0
    }
    /// In seconds.
    pub fn secs(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

const UNITS: [(&str, i64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, size) in UNITS {
            if rest >= size {
                write!(f, "{}{unit}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

impl FromStr for Span {
    type Err = ParseQuantityError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseQuantityError::Span(text.to_owned());
        let (mut rest, mut total) = (text, 0_i64);
        if rest.is_empty() {
            return Err(bad());
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            let letters = tail.bytes().take_while(u8::is_ascii_lowercase).count();
            let (unit, tail) = tail.split_at(letters);
            let size = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?.1;
            let number: i64 = number.parse().map_err(|_| bad())?;
            total = number.checked_mul(size).and_then(|x| total.checked_add(x)).ok_or_else(bad)?;
            rest = tail;
        }
        if total <= 365 * 86_400_000 { Ok(Self(total)) } else { Err(bad()) }
    }
}

macro_rules! as_text {
    ($type:ident, $pattern:literal, $example:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Cow::<str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $pattern, "maxLength": 32, "example": $example})
            }
            fn inline_schema() -> bool {
                true
            }
        }
    };
}
as_text!(Percent, r"^(100(\.0+)?|[0-9]{1,2}(\.[0-9]{1,4})?)%$", "0.5%");
as_text!(ByteSize, r"^[0-9]{1,12}(Ki|Mi|Gi)?$", "20Mi");
as_text!(Span, r"^([0-9]{1,9}(ms|s|m|h|d))+$", "1h30m");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_read_and_write_the_same() {
        for (text, ratio) in [("0%", 0.0), ("0.25%", 0.0025), ("9.0909%", 0.090_909), ("100%", 1.0)] {
            let share: Percent = text.parse().unwrap();
            assert!((share.ratio() - ratio).abs() < 1e-12, "{text}");
            assert_eq!(share.to_string(), text);
        }
        assert_eq!(Percent::from_ratio(1.0 / 11.0).to_string(), "9.0909%");
        assert_eq!(Percent::from_ratio(f64::NAN).to_string(), "0%");
    }

    #[test]
    fn byte_sizes_read_and_write_the_same() {
        for (text, bytes) in [("0", 0.0), ("20Mi", 20_971_520.0), ("1Gi", 1_073_741_824.0), ("1500", 1500.0)]
        {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.to_string().as_str(), size.bytes().to_bits()), (text, f64::to_bits(bytes)));
        }
        for text in ["", "Mi", "-1", "1.5Mi", "20MB", "99999999999999", "999999999999Gi"] {
            assert!(text.parse::<ByteSize>().unwrap_err().to_string().contains("such as 20Mi"), "{text}");
        }
    }

    #[test]
    fn what_is_no_share_says_what_to_write() {
        for text in ["", "1", "101%", "-1%", "1 %", "1e1%", "NaN%", "inf%", "%"] {
            let error = text.parse::<Percent>().unwrap_err().to_string();
            assert!(error.contains("such as 0.5%"), "{text}: {error}");
        }
    }

    #[test]
    fn durations_read_and_write_the_same() {
        for (text, millis) in
            [("0s", 0), ("300ms", 300), ("1m30s", 90_000), ("1h30m", 5_400_000), ("2d", 172_800_000)]
        {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.millis(), span.to_string()), (millis, text.to_owned()));
        }
        assert_eq!("90s".parse::<Span>().unwrap().to_string(), "1m30s");
    }

    #[test]
    fn what_is_no_duration_says_what_to_write() {
        for text in ["", "5", "m", "5 m", "-5m", "5w", "1.5h", "366d", "99999999999999999999s"] {
            let error = text.parse::<Span>().unwrap_err().to_string();
            assert!(error.contains("such as 90s"), "{text}: {error}");
        }
    }
}
