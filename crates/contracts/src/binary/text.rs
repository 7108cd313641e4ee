//! Text as clients send it.

use heliosdb_types::{Error, Result, SqlState};

/// Text of a client: UTF-8, the only encoding we speak, without the zero byte no value can hold.
pub fn utf8(bytes: &[u8]) -> Result<&str> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let from = e.valid_up_to();
        let to = e.error_len().map_or(bytes.len(), |len| from + len);
        bad_bytes(bytes.get(from..to).unwrap_or_default())
    })?;
    if text.contains('\0') { Err(bad_bytes(&[0])) } else { Ok(text) }
}

fn bad_bytes(bytes: &[u8]) -> Error {
    let hex: Vec<String> = bytes.iter().map(|b| format!("0x{b:02x}")).collect();
    Error::invalid(
        SqlState::CHARACTER_NOT_IN_REPERTOIRE,
        format!("invalid byte sequence for encoding \"UTF8\": {}", hex.join(" ")),
    )
}
