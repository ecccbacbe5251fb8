//! A secret as a key of a description: `{ file = … }`, `{ env = … }` or `{ command = … }`, and never the secret itself.

use crate::net::SecretSource;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};
use std::fmt;

/// [`SecretSource`], read so that a password that somebody wrote in its place is shown by no error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SecretKey(pub SecretSource);

impl<'de> Deserialize<'de> for SecretKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NoSecret).map(Self)
    }
}

/// Takes a table and refuses every value that could be a secret.
struct NoSecret;

const INSTEAD: &str =
    "a secret never stands here; say where it is: { file = \"…\" }, { env = \"…\" } or { command = \"…\" }";

impl<'de> Visitor<'de> for NoSecret {
    type Value = SecretSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(INSTEAD)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretSource, A::Error> {
        SecretSource::deserialize(MapAccessDeserializer::new(map))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<SecretSource, E> {
        Err(E::custom(INSTEAD))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<SecretSource, E> {
        Err(E::custom(INSTEAD))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<SecretSource, E> {
        Err(E::custom(INSTEAD))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<SecretSource, E> {
        Err(E::custom(INSTEAD))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<SecretSource, E> {
        Err(E::custom(INSTEAD))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<SecretSource, A::Error> {
        Err(A::Error::custom(INSTEAD))
    }
}
