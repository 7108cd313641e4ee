//! Messages of a client, decoded from one frame each with every read checked.

use bytes::{Buf, Bytes};
use heliosdb_contracts::binary::utf8;
use heliosdb_types::{Error, Result};
use pgwire::messages::copy::{
    CopyFail, MESSAGE_TYPE_BYTE_COPY_DATA, MESSAGE_TYPE_BYTE_COPY_DONE, MESSAGE_TYPE_BYTE_COPY_FAIL,
};
use pgwire::messages::extendedquery::{
    Bind, Close, Describe, Execute, MESSAGE_TYPE_BYTE_BIND, MESSAGE_TYPE_BYTE_CLOSE, MESSAGE_TYPE_BYTE_DESCRIBE,
    MESSAGE_TYPE_BYTE_EXECUTE, MESSAGE_TYPE_BYTE_FLUSH, MESSAGE_TYPE_BYTE_PARSE, MESSAGE_TYPE_BYTE_SYNC, Parse,
};
use pgwire::messages::simplequery::{MESSAGE_TYPE_BYTE_QUERY, Query};
use pgwire::messages::startup::{MESSAGE_TYPE_BYTE_PASSWORD_MESSAGE_FAMILY, SASLInitialResponse};
use pgwire::messages::terminate::MESSAGE_TYPE_BYTE_TERMINATE;

use super::failure::violation;

pub(crate) const BIND: u8 = MESSAGE_TYPE_BYTE_BIND;
pub(crate) const CLOSE: u8 = MESSAGE_TYPE_BYTE_CLOSE;
pub(crate) const COPY_DATA: u8 = MESSAGE_TYPE_BYTE_COPY_DATA;
pub(crate) const COPY_DONE: u8 = MESSAGE_TYPE_BYTE_COPY_DONE;
pub(crate) const COPY_FAIL: u8 = MESSAGE_TYPE_BYTE_COPY_FAIL;
pub(crate) const DESCRIBE: u8 = MESSAGE_TYPE_BYTE_DESCRIBE;
pub(crate) const EXECUTE: u8 = MESSAGE_TYPE_BYTE_EXECUTE;
pub(crate) const FLUSH: u8 = MESSAGE_TYPE_BYTE_FLUSH;
pub(crate) const FUNCTION_CALL: u8 = b'F';
pub(crate) const PARSE: u8 = MESSAGE_TYPE_BYTE_PARSE;
pub(crate) const PASSWORD: u8 = MESSAGE_TYPE_BYTE_PASSWORD_MESSAGE_FAMILY;
pub(crate) const QUERY: u8 = MESSAGE_TYPE_BYTE_QUERY;
pub(crate) const SYNC: u8 = MESSAGE_TYPE_BYTE_SYNC;
pub(crate) const TERMINATE: u8 = MESSAGE_TYPE_BYTE_TERMINATE;

/// Messages whose length no client needs more of (PostgreSQL's PQ_SMALL_MESSAGE_LIMIT).
const SMALL_BYTES_MAX: usize = 10_000;

/// The longest message of a type, its length field included; `None` for a type that does not exist.
pub(crate) fn longest(kind: u8, large: usize) -> Option<usize> {
    match kind {
        QUERY | PARSE | BIND | COPY_DATA | FUNCTION_CALL => Some(large),
        CLOSE | COPY_DONE | COPY_FAIL | DESCRIBE | EXECUTE | FLUSH | PASSWORD | SYNC | TERMINATE => {
            Some(SMALL_BYTES_MAX.min(large))
        }
        _ => None,
    }
}

/// Reads a frame's fields in order.
struct Fields(Bytes);

impl Fields {
    fn u8(&mut self) -> Result<u8> {
        self.0.try_get_u8().map_err(|_| short())
    }

    fn u16(&mut self) -> Result<u16> {
        self.0.try_get_u16().map_err(|_| short())
    }

    fn i16(&mut self) -> Result<i16> {
        self.0.try_get_i16().map_err(|_| short())
    }

    fn i32(&mut self) -> Result<i32> {
        self.0.try_get_i32().map_err(|_| short())
    }

    fn u32(&mut self) -> Result<u32> {
        self.0.try_get_u32().map_err(|_| short())
    }

    fn bytes(&mut self, len: usize) -> Result<Bytes> {
        if len > self.0.len() {
            return Err(short());
        }
        Ok(self.0.split_to(len))
    }

    /// A string up to its terminating zero.
    fn string(&mut self) -> Result<String> {
        let end = self.0.iter().position(|&b| b == 0).ok_or_else(|| violation("invalid string in message"))?;
        let text = self.0.split_to(end);
        self.0.advance(1);
        utf8(&text).map(str::to_owned)
    }

    /// As pgwire keeps names: the empty one, for what has no name, is `None`.
    fn name(&mut self) -> Result<Option<String>> {
        self.string().map(|name| Some(name).filter(|name| !name.is_empty()))
    }

    /// A counted list; memory follows what is there, not what the count claims.
    fn list<T>(&mut self, one: impl Fn(&mut Fields) -> Result<T>) -> Result<Vec<T>> {
        let count = self.u16()?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(one(self)?);
        }
        Ok(items)
    }

    fn end<T>(self, message: T) -> Result<T> {
        if self.0.is_empty() { Ok(message) } else { Err(violation("invalid message format")) }
    }
}

fn short() -> Error {
    violation("insufficient data left in message")
}

pub(crate) fn query(body: Bytes) -> Result<Query> {
    let mut fields = Fields(body);
    let message = Query::new(fields.string()?);
    fields.end(message)
}

pub(crate) fn parse(body: Bytes) -> Result<Parse> {
    let mut fields = Fields(body);
    let message = Parse::new(fields.name()?, fields.string()?, fields.list(Fields::u32)?);
    fields.end(message)
}

pub(crate) fn bind(body: Bytes) -> Result<Bind> {
    let mut fields = Fields(body);
    let (portal, statement) = (fields.name()?, fields.name()?);
    let formats = fields.list(Fields::i16)?;
    let parameters = fields.list(|fields| match fields.i32()? {
        -1 => Ok(None),
        len => fields.bytes(usize::try_from(len).map_err(|_| short())?).map(Some),
    })?;
    let message = Bind::new(portal, statement, formats, parameters, fields.list(Fields::i16)?);
    fields.end(message)
}

pub(crate) fn describe(body: Bytes) -> Result<Describe> {
    let mut fields = Fields(body);
    let message = Describe::new(fields.u8()?, fields.name()?);
    fields.end(message)
}

pub(crate) fn close(body: Bytes) -> Result<Close> {
    let mut fields = Fields(body);
    let message = Close::new(fields.u8()?, fields.name()?);
    fields.end(message)
}

pub(crate) fn execute(body: Bytes) -> Result<Execute> {
    let mut fields = Fields(body);
    let message = Execute::new(fields.name()?, fields.i32()?);
    fields.end(message)
}

pub(crate) fn copy_fail(body: Bytes) -> Result<CopyFail> {
    let mut fields = Fields(body);
    let message = CopyFail::new(fields.string()?);
    fields.end(message)
}

pub(crate) fn sasl_initial_response(body: Bytes) -> Result<SASLInitialResponse> {
    let mut fields = Fields(body);
    let method = fields.string()?;
    let data = match fields.i32()? {
        -1 => None,
        len => Some(fields.bytes(usize::try_from(len).map_err(|_| short())?)?),
    };
    fields.end(SASLInitialResponse::new(method, data))
}

/// Key-value pairs of a startup packet: strings in pairs, then an empty one.
pub(crate) fn startup_parameters(body: Bytes) -> Result<Vec<(String, String)>> {
    let mut fields = Fields(body);
    let mut parameters = Vec::new();
    loop {
        let name = fields.string()?;
        if name.is_empty() {
            let wrong = "invalid startup packet layout: expected terminator as last byte";
            return fields.end(parameters).map_err(|_| violation(wrong));
        }
        parameters.push((name, fields.string()?));
    }
}

#[cfg(test)]
mod tests {
    use heliosdb_types::SqlState;

    use super::*;

    #[test]
    fn short_and_overlong_messages_are_refused() {
        let whole: &[u8] = b"p\0s\0\0\x01\0\x01\0\x01\0\0\0\x03abc\0\0";
        let message = bind(Bytes::from_static(whole)).unwrap();
        assert_eq!(message.parameters, [Some(Bytes::from_static(b"abc"))]);
        for len in 0..whole.len() {
            assert!(bind(Bytes::from_static(&whole[..len])).is_err(), "{len} bytes");
        }
        assert!(bind(Bytes::from([whole, b"x"].concat())).is_err());
        assert!(bind(Bytes::from_static(b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0")).is_err(), "length -2");
        assert!(query(Bytes::from_static(b"select 1")).is_err());
        assert_eq!(query(Bytes::from_static(b"\xff\0")).unwrap_err().state(), SqlState::CHARACTER_NOT_IN_REPERTOIRE);
    }
}

#[cfg(test)]
#[path = "../../../../fuzz/driver.rs"]
mod driver;

#[cfg(test)]
mod fuzz {
    use super::*;

    #[test]
    fn fuzz_wire() {
        let seeds: [&[u8]; 7] = [
            b"select 1\0",
            b"s\0select $1\0\0\x02\0\0\0\x17\0\0\0\x19",
            b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x03abc\xff\xff\xff\xff\0\x01\0\x01",
            b"Sname\0",
            b"portal\0\0\0\0\x05",
            b"SCRAM-SHA-256\0\0\0\0\x09n,,n=,r=x",
            b"user\0postgres\0database\0db\0\0",
        ];
        let seeds: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.to_vec()).collect();
        driver::fuzz("wire", &seeds, &[], |bytes| {
            let body = || Bytes::copy_from_slice(bytes);
            let _ = (query(body()), parse(body()), describe(body()), close(body()), execute(body()));
            let _ = (copy_fail(body()), sasl_initial_response(body()), startup_parameters(body()), utf8(bytes));
            if let Ok(message) = bind(body()) {
                let held: usize = message.parameters.iter().flatten().map(Bytes::len).sum();
                assert!(held <= bytes.len(), "parameters are pieces of the message");
            }
        });
    }
}
