//! Exact shares of requests.

use std::fmt;

/// A fraction in lowest terms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    parts: u128,
    total: u128,
}

impl Share {
    /// All of them.
    pub const ALL: Self = Self { parts: 1, total: 1 };

    /// `parts` of `total`; none when `total` is 0.
    #[must_use]
    pub fn new(parts: u128, total: u128) -> Self {
        let (mut a, mut b) = (parts, total);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        match (total, a) {
            (0, _) | (_, 0) => Self { parts: 0, total: 1 },
            (_, gcd) => Self { parts: parts / gcd, total: total / gcd },
        }
    }

    /// The numerator.
    #[must_use]
    pub fn parts(self) -> u128 {
        self.parts
    }

    /// The denominator; never 0.
    #[must_use]
    pub fn total(self) -> u128 {
        self.total
    }

    /// A share of this share.
    #[must_use]
    pub fn of(self, other: Self) -> Self {
        // Crosswise first, so that the products stay small.
        let (a, b) = (Self::new(self.parts, other.total), Self::new(other.parts, self.total));
        Self::new(a.parts.saturating_mul(b.parts), a.total.saturating_mul(b.total))
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let parts =
            self.parts.saturating_mul(other.total).saturating_add(other.parts.saturating_mul(self.total));
        Self::new(parts, self.total.saturating_mul(other.total))
    }

    /// What is left of all requests.
    #[must_use]
    pub fn rest(self) -> Self {
        Self::new(self.total.saturating_sub(self.parts), self.total)
    }

    /// Nobody.
    #[must_use]
    pub fn is_none(self) -> bool {
        self.parts == 0
    }

    /// As a number from 0 to 100, for display alone.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn percent(self) -> f64 {
        self.parts as f64 * 100.0 / self.total as f64
    }
}

impl fmt::Display for Share {
    /// `12.5 %`, with at most three decimals; what they would round to nobody or everybody is told from those.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.3}", self.percent());
        match text.as_str() {
            "0.000" if !self.is_none() => f.write_str("<0.001 %"),
            "100.000" if self.parts < self.total => f.write_str(">99.999 %"),
            text => write!(f, "{} %", text.trim_end_matches('0').trim_end_matches('.')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_exact() {
        let third = Share::new(1, 3);
        assert_eq!(third.plus(third).plus(third), Share::ALL);
        assert_eq!(third.rest(), Share::new(2, 3));
        assert_eq!(Share::new(50, 100).of(Share::new(2, 6)), Share::new(1, 6));
        assert!(Share::new(0, 7).is_none() && Share::new(1, 0).is_none());
    }

    #[test]
    fn percentages_are_short() {
        let text = |parts, total| Share::new(parts, total).to_string();
        assert_eq!(
            (text(1, 1), text(1, 8), text(1, 3)),
            ("100 %".into(), "12.5 %".into(), "33.333 %".into())
        );
        assert_eq!(text(0, 1), "0 %");
        assert_eq!((text(1, 1_000_000), text(999_999, 1_000_000)), ("<0.001 %".into(), ">99.999 %".into()));
    }
}
