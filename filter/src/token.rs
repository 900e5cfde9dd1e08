//! Signed pins, overrides and subject ids: `1.<kid>.<expiry>.<value>.<mac>`. Knows no cookies and no clock.
//!
//! `expiry` is seconds since 1970 in lower-case base 36. `mac` is the first 128 bits of HMAC-SHA256, in unpadded
//! base64url (22 characters), over `coalmine-token`, the purpose, the place the token is kept in (its cookie or
//! query parameter), the flag, the subject and the token up to the last dot, each preceded by its length. A token
//! therefore cannot be moved to another cookie, flag, purpose or, when it was bound to one, another subject.
//! A token without a subject is a bearer token: whoever holds the cookie has it.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Bytes of the MAC that are kept. 128 bits is far beyond online guessing and fits 22 characters.
const MAC_BYTES: usize = 16;
const MAC_CHARS: usize = 22;
/// Longest token that is looked at.
pub const TOKEN_BYTES: usize = 256;
/// Shortest key, in bytes of the environment variable.
pub const MIN_KEY_BYTES: usize = 16;

/// What a token is for; part of the MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A decision kept in a cookie.
    Pin,
    /// A decision an operator signed, passed as a query parameter.
    Override,
    /// A generated subject id.
    Subject,
}

impl Purpose {
    fn tag(self) -> &'static [u8] {
        match self {
            Purpose::Pin => b"pin",
            Purpose::Override => b"override",
            Purpose::Subject => b"subject",
        }
    }
}

/// What a token is bound to besides its own bytes.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// What it is for.
    pub purpose: Purpose,
    /// Name of the cookie or query parameter that carries it.
    pub place: &'a [u8],
    /// Name of the flag; empty for subject ids.
    pub flag: &'a [u8],
    /// The subject; empty for a bearer token.
    pub subject: &'a [u8],
}

/// A token whose MAC and expiry hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified<'a> {
    /// The variant or id.
    pub value: &'a [u8],
    /// Seconds since 1970 at which it stops being valid.
    pub expiry: u64,
    /// It was signed by a key other than the one that signs now.
    pub old_key: bool,
}

/// Why a token is as good as absent. The client learns none of this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalid {
    /// Not of the form above.
    Malformed,
    /// Signed by a key that is not configured or not present.
    UnknownKey,
    /// The MAC does not match.
    Forged,
    /// Genuine, but too old.
    Expired,
}

struct Key {
    id: String,
    mac: Hmac<Sha256>,
    verify_only: bool,
}

/// The keys that were found, in configured order. Never printed: `Debug` shows ids only.
#[derive(Default)]
pub struct Keys {
    keys: Vec<Key>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

impl Keys {
    /// No keys: every token is invalid and nothing can be signed.
    #[must_use]
    pub fn none() -> Self {
        Keys::default()
    }

    /// Adds a key. Returns false, and adds nothing, when it is shorter than [`MIN_KEY_BYTES`].
    #[must_use]
    pub fn add(&mut self, id: &str, secret: &[u8], verify_only: bool) -> bool {
        if secret.len() < MIN_KEY_BYTES {
            return false;
        }
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret) else { return false };
        self.keys.push(Key { id: id.to_owned(), mac, verify_only });
        true
    }

    /// Whether [`Keys::sign`] can succeed.
    #[must_use]
    pub fn can_sign(&self) -> bool {
        self.signer().is_some()
    }

    fn signer(&self) -> Option<&Key> {
        self.keys.iter().find(|key| !key.verify_only)
    }

    /// Signs `value` with the first key that is not `verifyOnly`; `None` when there is none or when `value`
    /// holds a byte outside `[A-Za-z0-9_~-]`.
    #[must_use]
    #[inline(never)]
    pub fn sign(&self, binding: &Binding<'_>, value: &str, expiry: u64) -> Option<String> {
        let key = self.signer()?;
        if !is_value(value.as_bytes()) {
            return None;
        }
        let mut token = format!("1.{}.{}.{value}", key.id, base36(expiry));
        let mac = mac(key, binding, token.as_bytes()).finalize().into_bytes();
        token.push('.');
        encode(mac.get(..MAC_BYTES)?, &mut token);
        Some(token)
    }

    /// Verifies a token in constant time with the one key it names.
    ///
    /// # Errors
    /// Why the token does not count, for the metrics.
    #[inline(never)]
    pub fn verify<'a>(
        &self,
        binding: &Binding<'_>,
        token: &'a [u8],
        now: u64,
    ) -> Result<Verified<'a>, Invalid> {
        let (kid, expiry, value, signed, given) = split(token).ok_or(Invalid::Malformed)?;
        let key = self.keys.iter().find(|key| key.id.as_bytes() == kid).ok_or(Invalid::UnknownKey)?;
        mac(key, binding, signed).verify_truncated_left(&given).map_err(|_| Invalid::Forged)?;
        if expiry <= now {
            return Err(Invalid::Expired);
        }
        let old_key = self.signer().is_some_and(|signer| signer.id != key.id);
        Ok(Verified { value, expiry, old_key })
    }
}

/// SHA-256 in lower-case hex, as the `sha256:` entries of subject lists are written.
#[must_use]
#[inline(never)]
pub fn sha256_hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    Sha256::digest(bytes).iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// 128 random bits in the alphabet of values.
#[must_use]
pub fn random_id(random: [u8; 16]) -> String {
    let mut id = String::with_capacity(MAC_CHARS);
    encode(&random, &mut id);
    id
}

#[inline(never)]
fn mac(key: &Key, binding: &Binding<'_>, signed: &[u8]) -> Hmac<Sha256> {
    let mut mac = key.mac.clone();
    for part in [
        b"coalmine-token".as_slice(),
        binding.purpose.tag(),
        binding.place,
        binding.flag,
        binding.subject,
        signed,
    ] {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac
}

type Parts<'a> = (&'a [u8], u64, &'a [u8], &'a [u8], [u8; MAC_BYTES]);

/// Key id, expiry, value, everything the MAC covers, and the MAC.
fn split(token: &[u8]) -> Option<Parts<'_>> {
    if token.len() > TOKEN_BYTES {
        return None;
    }
    let mut fields = token.split(|byte| *byte == b'.');
    let (version, kid, expiry, value, given) =
        (fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    if fields.next().is_some() || version != b"1" || !is_value(value) {
        return None;
    }
    let signed = token.get(..token.len().checked_sub(given.len())?.checked_sub(1)?)?;
    Some((kid, from_base36(expiry)?, value, signed, decode(given)?))
}

fn is_value(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'~' | b'-'))
}

fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        let (rest, digit) = (number / 36, number % 36);
        digits.push(char::from_digit(digit as u32, 36).unwrap_or('0'));
        if rest == 0 {
            return digits.iter().rev().collect();
        }
        number = rest;
    }
}

/// Only the canonical spelling, so that a token has one byte form.
fn from_base36(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 12 || (digits.len() > 1 && digits.first() == Some(&b'0')) {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit.checked_sub(b'0')?,
            b'a'..=b'z' => digit.checked_sub(b'a')?.checked_add(10)?,
            _ => return None,
        };
        number.checked_mul(36)?.checked_add(u64::from(digit))
    })
}

const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn encode(bytes: &[u8], into: &mut String) {
    for chunk in bytes.chunks(3) {
        let mut three = [0u8; 3];
        for (place, byte) in three.iter_mut().zip(chunk) {
            *place = *byte;
        }
        let [a, b, c] = three.map(u32::from);
        let bits = a << 16 | b << 8 | c;
        for shift in [18, 12, 6, 0].into_iter().take(chunk.len().saturating_add(1)) {
            let symbol = BASE64URL.get((bits >> shift & 63) as usize).copied().unwrap_or(b'A');
            into.push(char::from(symbol));
        }
    }
}

/// Decodes exactly 22 characters to 16 bytes; the four unused bits must be zero.
fn decode(text: &[u8]) -> Option<[u8; MAC_BYTES]> {
    if text.len() != MAC_CHARS {
        return None;
    }
    let mut out = [0u8; MAC_BYTES];
    let mut place = out.iter_mut();
    let (mut bits, mut held) = (0u32, 0u32);
    for symbol in text {
        let value = match symbol {
            b'A'..=b'Z' => symbol.checked_sub(b'A')?,
            b'a'..=b'z' => symbol.checked_sub(b'a')?.checked_add(26)?,
            b'0'..=b'9' => symbol.checked_sub(b'0')?.checked_add(52)?,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held = held.checked_add(6)?;
        if let Some(rest) = held.checked_sub(8) {
            *place.next()? = (bits >> rest) as u8;
            bits &= (1u32 << rest).wrapping_sub(1);
            held = rest;
        }
    }
    (bits == 0).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(ids: &[(&str, bool)]) -> Keys {
        let mut keys = Keys::none();
        for (id, verify_only) in ids {
            assert!(keys.add(id, format!("a secret of the key {id}").as_bytes(), *verify_only));
        }
        keys
    }

    const PIN: Binding<'static> =
        Binding { purpose: Purpose::Pin, place: b"__Host-pin", flag: b"checkout", subject: b"alice" };

    #[test]
    fn the_format_is_fixed() {
        let token = keys(&[("k1", false)]).sign(&PIN, "canary", 1_800_000_000).unwrap();
        let fields: Vec<&str> = token.split('.').collect();
        assert_eq!(fields[..4], ["1", "k1", "tro8w0", "canary"]);
        assert_eq!(fields[4].len(), 22);
        // The MAC, computed once with Python's hmac over the documented input.
        assert_eq!(fields[4], "IH2odeEWNDlIloXH56slnw");
    }

    #[test]
    fn every_part_of_the_binding_counts() {
        let keys = keys(&[("k1", false)]);
        let token = keys.sign(&PIN, "canary", 1000).unwrap();
        let check = |binding: Binding<'_>, now| {
            keys.verify(&binding, token.as_bytes(), now).map(|ok| ok.value.to_vec())
        };
        assert_eq!(check(PIN, 999), Ok(b"canary".to_vec()));
        assert_eq!(check(PIN, 1000), Err(Invalid::Expired));
        assert_eq!(check(Binding { purpose: Purpose::Override, ..PIN }, 0), Err(Invalid::Forged));
        assert_eq!(check(Binding { place: b"other", ..PIN }, 0), Err(Invalid::Forged));
        assert_eq!(check(Binding { flag: b"search", ..PIN }, 0), Err(Invalid::Forged));
        assert_eq!(check(Binding { subject: b"mallory", ..PIN }, 0), Err(Invalid::Forged));
        assert_eq!(check(Binding { subject: b"", ..PIN }, 0), Err(Invalid::Forged));
        // Moving a byte from one field to the next must not keep the MAC.
        assert_eq!(check(Binding { flag: b"checkouta", subject: b"lice", ..PIN }, 0), Err(Invalid::Forged));
    }

    #[test]
    fn no_single_changed_byte_survives() {
        let keys = keys(&[("k1", false)]);
        let token = keys.sign(&PIN, "canary", 1_800_000_000).unwrap().into_bytes();
        for place in 0..token.len() {
            for byte in 0..=255u8 {
                let mut forged = token.clone();
                forged[place] = byte;
                assert_eq!(keys.verify(&PIN, &forged, 0).is_ok(), forged == token, "{place} {byte}");
            }
        }
        for length in 0..token.len() {
            assert!(keys.verify(&PIN, &token[..length], 0).is_err());
        }
    }

    #[test]
    fn keys_rotate() {
        let old = keys(&[("k0", false)]).sign(&PIN, "canary", 1000).unwrap();
        let rotating = keys(&[("k0", true), ("k1", false)]);
        let seen = rotating.verify(&PIN, old.as_bytes(), 0).unwrap();
        assert!(seen.old_key, "should be signed anew");
        assert!(rotating.sign(&PIN, "canary", 1000).unwrap().starts_with("1.k1."));
        assert_eq!(keys(&[("k1", false)]).verify(&PIN, old.as_bytes(), 0), Err(Invalid::UnknownKey));
        assert_eq!(keys(&[("k0", true)]).sign(&PIN, "canary", 1000), None);
        assert!(!Keys::none().add("k", b"too short", false));
        assert_eq!(format!("{rotating:?}"), r#"["k0", "k1"]"#);
    }

    #[test]
    fn a_known_digest() {
        assert_eq!(sha256_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]
        #[test]
        fn tokens_round_trip(value in "[A-Za-z0-9_~-]{1,40}", expiry in 1u64..1 << 50, subject: Vec<u8>) {
            let keys = keys(&[("k1", false)]);
            let binding = Binding { subject: &subject, ..PIN };
            let token = keys.sign(&binding, &value, expiry).unwrap();
            prop_assert!(crate::cookie::is_plain(token.as_bytes()));
            let seen = keys.verify(&binding, token.as_bytes(), 0).unwrap();
            prop_assert_eq!((seen.value, seen.expiry), (value.as_bytes(), expiry));
        }

        #[test]
        fn any_bytes_are_decoded_without_a_panic_and_none_verify(token: Vec<u8>) {
            prop_assert!(keys(&[("k1", false)]).verify(&PIN, &token, 0).is_err());
        }

        #[test]
        fn tokens_of_the_right_shape_do_not_verify(
            kid in "k[0-2]", expiry in "[0-9a-z]{1,14}", value in "[a-z.]{0,9}", mac in "[A-Za-z0-9_-]{21,23}",
        ) {
            let token = format!("1.{kid}.{expiry}.{value}.{mac}");
            prop_assert!(keys(&[("k1", false)]).verify(&PIN, token.as_bytes(), 0).is_err());
        }

        #[test]
        fn base64_round_trips(bytes: [u8; 16]) {
            let text = random_id(bytes);
            prop_assert_eq!(decode(text.as_bytes()), Some(bytes));
        }
    }
}
