// SPDX-License-Identifier: GPL-3.0-or-later
//! Bytes written as text in JSON, for `#[serde(with = "...")]`: lines as they read, everything else
//! in base64.

/// A line of a client: any bytes, and nearly always readable.
pub(crate) mod line {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::text;

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], writer: S) -> Result<S::Ok, S::Error> {
        writer.serialize_str(&text::decode(bytes))
    }

    pub(crate) fn deserialize<'de, D, B>(reader: D) -> Result<B, D::Error>
    where
        D: Deserializer<'de>,
        B: From<Vec<u8>>,
    {
        let mut bytes = Vec::new();
        text::encode(&String::deserialize(reader)?, &mut bytes);
        Ok(bytes.into())
    }
}

/// A datagram or packet.
pub(crate) mod base64 {
    use data_encoding::BASE64_NOPAD;
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], writer: S) -> Result<S::Ok, S::Error> {
        writer.serialize_str(&BASE64_NOPAD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D, B>(reader: D) -> Result<B, D::Error>
    where
        D: Deserializer<'de>,
        B: From<Vec<u8>>,
    {
        let text = String::deserialize(reader)?;
        let bytes = BASE64_NOPAD.decode(text.as_bytes());
        bytes.map(B::from).map_err(de::Error::custom)
    }
}
