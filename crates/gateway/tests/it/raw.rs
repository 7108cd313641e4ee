//! A client of bytes: says anything, shows every message.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Raw {
    pub socket: TcpStream,
}

/// A message: type and body.
pub type Message = (char, Vec<u8>);

pub fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

pub fn startup(version: i32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
    }
    body.push(0);
    [(body.len() as u32 + 4).to_be_bytes().as_slice(), &body].concat()
}

pub fn query(sql: &str) -> Vec<u8> {
    frame(b'Q', format!("{sql}\0").as_bytes())
}

pub fn parse(name: &str, sql: &str) -> Vec<u8> {
    frame(b'P', format!("{name}\0{sql}\0\0\0").as_bytes())
}

/// Parameters of one format, results in one format.
pub fn bind(portal: &str, statement: &str, format: u8, parameters: &[Option<&[u8]>], result_format: u8) -> Vec<u8> {
    let mut body = format!("{portal}\0{statement}\0").into_bytes();
    body.extend_from_slice(&[0, 1, 0, format]);
    body.extend_from_slice(&(parameters.len() as u16).to_be_bytes());
    for parameter in parameters {
        match parameter {
            None => body.extend_from_slice(&(-1_i32).to_be_bytes()),
            Some(bytes) => {
                body.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
                body.extend_from_slice(bytes);
            }
        }
    }
    body.extend_from_slice(&[0, 1, 0, result_format]);
    frame(b'B', &body)
}

pub fn describe(kind: char, name: &str) -> Vec<u8> {
    frame(b'D', format!("{kind}{name}\0").as_bytes())
}

pub fn close(kind: char, name: &str) -> Vec<u8> {
    frame(b'C', format!("{kind}{name}\0").as_bytes())
}

pub fn execute(portal: &str, most: i32) -> Vec<u8> {
    frame(b'E', &[format!("{portal}\0").as_bytes(), &most.to_be_bytes()].concat())
}

pub fn sync() -> Vec<u8> {
    frame(b'S', b"")
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Raw {
        Raw { socket: TcpStream::connect(address).await.unwrap() }
    }

    /// Connects and logs in as the user without a password.
    pub async fn login(address: SocketAddr) -> Raw {
        let mut raw = Raw::connect(address).await;
        raw.send(&startup(196_608, &[("user", "postgres")])).await;
        let hello = raw.until_ready().await;
        assert_eq!(kinds(&hello).chars().next(), Some('R'), "{hello:?}");
        raw
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    /// The next message; `None` when the server has closed.
    pub async fn next(&mut self) -> Option<Message> {
        let read = async {
            let kind = self.socket.read_u8().await.ok()?;
            let len = self.socket.read_u32().await.ok()?;
            let mut body = vec![0; len as usize - 4];
            self.socket.read_exact(&mut body).await.ok()?;
            Some((char::from(kind), body))
        };
        tokio::time::timeout(Duration::from_secs(20), read).await.expect("the server did not answer")
    }

    /// Messages up to and with ReadyForQuery.
    pub async fn until_ready(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            let message = self.next().await.unwrap_or_else(|| panic!("closed after {messages:?}"));
            let done = message.0 == 'Z';
            messages.push(message);
            if done {
                return messages;
            }
        }
    }

    /// Messages until the server closes.
    pub async fn until_closed(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(message) = self.next().await {
            messages.push(message);
        }
        messages
    }

    pub async fn ask(&mut self, bytes: &[u8]) -> Vec<Message> {
        self.send(bytes).await;
        self.until_ready().await
    }
}

/// The types of messages, in a row.
pub fn kinds(messages: &[Message]) -> String {
    messages.iter().map(|(kind, _)| *kind).collect()
}

/// A field of an ErrorResponse or NoticeResponse.
pub fn field(body: &[u8], code: char) -> Option<String> {
    body.split(|&b| b == 0)
        .find(|field| field.first() == Some(&(code as u8)))
        .map(|field| String::from_utf8(field[1..].to_vec()).unwrap())
}

/// SQLSTATEs of the errors among messages.
pub fn states(messages: &[Message]) -> Vec<String> {
    messages.iter().filter(|(kind, _)| *kind == 'E').map(|(_, body)| field(body, 'C').unwrap()).collect()
}

/// Tags of CommandComplete messages.
pub fn tags(messages: &[Message]) -> Vec<String> {
    let text = |body: &[u8]| String::from_utf8(body[..body.len() - 1].to_vec()).unwrap();
    messages.iter().filter(|(kind, _)| *kind == 'C').map(|(_, body)| text(body)).collect()
}

/// The status byte of the last message.
pub fn status(messages: &[Message]) -> char {
    let (kind, body) = messages.last().unwrap();
    assert_eq!(*kind, 'Z');
    char::from(body[0])
}

/// Values of a DataRow.
pub fn values(body: &[u8]) -> Vec<Option<Vec<u8>>> {
    let mut rest = &body[2..];
    let mut values = Vec::new();
    for _ in 0..u16::from_be_bytes([body[0], body[1]]) {
        let len = i32::from_be_bytes(rest[..4].try_into().unwrap());
        rest = &rest[4..];
        values.push((len >= 0).then(|| {
            let (value, tail) = rest.split_at(len as usize);
            rest = tail;
            value.to_vec()
        }));
    }
    assert!(rest.is_empty());
    values
}

/// Rows of one text column.
pub fn column(messages: &[Message]) -> Vec<String> {
    let rows = messages.iter().filter(|(kind, _)| *kind == 'D');
    rows.map(|(_, body)| String::from_utf8(values(body)[0].clone().unwrap()).unwrap()).collect()
}
