//! Thirty queries over the music service: their relations in an order in which each is joined to one before, and conditions.

/// A query: `alias table, ...` and conditions.
pub(super) struct Join {
    pub name: &'static str,
    pub from: &'static str,
    pub conditions: &'static [&'static str],
}

macro_rules! joins {
    ($($name:literal: $from:literal where [$($condition:literal),* $(,)?];)*) => {
        pub(super) const JOINS: &[Join] = &[$(Join { name: $name, from: $from, conditions: &[$($condition),*] }),*];
    };
}

joins! {
    "J01": "c country, a artist" where ["a.country_id = c.id", "c.region = 'europe'", "a.genre = 'pop'"];
    "J02": "a artist, b album" where ["b.artist_id = a.id", "a.genre = 'jazz'", "b.kind = 'live'"];
    "J03": "a artist, b album, t track" where ["b.artist_id = a.id", "t.album_id = b.id", "a.genre = 'hiphop'", "t.explicit"];
    "J04": "b album, t track, p play" where ["t.album_id = b.id", "p.track_id = t.id", "b.year between 1990 and 1999"];
    "J05": "l listener, p play" where ["p.listener_id = l.id", "l.plan = 'free'", "p.device = 'phone'"];
    "J06": "l listener, p play, t track" where ["p.listener_id = l.id", "p.track_id = t.id", "l.born > 2000", "t.seconds > 400"];
    "J07": "c country, l listener, p play" where ["l.country_id = c.id", "p.listener_id = l.id", "c.name = 'country 0'"];
    "J08": "c country, l listener, f follow, a artist" where ["l.country_id = c.id", "f.listener_id = l.id", "f.artist_id = a.id", "c.id in (3, 5, 7)", "a.genre = 'rock'"];
    "J09": "a artist, f follow" where ["f.artist_id = a.id", "a.id < 20"];
    "J10": "f follow, g follow" where ["f.artist_id = g.artist_id", "f.since >= date '2023-01-01'", "g.since < date '2018-03-01'"];
    "J11": "b album, r review" where ["r.album_id = b.id", "r.stars = 5", "b.kind = 'single'"];
    "J12": "l listener, r review, b album, a artist" where ["r.listener_id = l.id", "r.album_id = b.id", "b.artist_id = a.id", "l.plan = 'student'", "a.genre in ('metal', 'techno')"];
    "J13": "p playlist, x playlist_track, t track" where ["x.playlist_id = p.id", "x.track_id = t.id", "p.shared", "t.bpm > 150"];
    "J14": "x playlist_track, p play" where ["x.track_id = p.track_id", "x.place = 0", "p.day = date '2023-05-05'"];
    "J15": "a artist, b album, t track, p play" where ["b.artist_id = a.id", "t.album_id = b.id", "p.track_id = t.id", "a.country_id = 1", "p.device = 'car'"];
    "J16": "c country, a artist, b album, t track, p play" where ["a.country_id = c.id", "b.artist_id = a.id", "t.album_id = b.id", "p.track_id = t.id", "c.region = 'asia'", "a.genre = 'folk'", "b.year < 1980"];
    "J17": "c country, l listener, p play, t track, b album" where ["l.country_id = c.id", "p.listener_id = l.id", "p.track_id = t.id", "t.album_id = b.id", "c.region = 'africa'", "l.born < 1970", "b.kind = 'album'"];
    "J18": "l listener, f follow, a artist, b album" where ["f.listener_id = l.id", "f.artist_id = a.id", "b.artist_id = a.id", "l.joined >= date '2022-01-01'", "b.year = 2010"];
    "J19": "l listener, p playlist, x playlist_track, t track, b album, a artist" where ["p.listener_id = l.id", "x.playlist_id = p.id", "x.track_id = t.id", "t.album_id = b.id", "b.artist_id = a.id", "l.plan = 'premium'", "a.started < 1960"];
    "J20": "l listener, p play, f follow" where ["p.listener_id = l.id", "f.listener_id = l.id", "l.id < 100"];
    "J21": "a artist, d artist" where ["a.country_id = d.country_id", "a.genre = 'pop'", "d.genre = 'soul'"];
    "J22": "a artist" where ["a.genre = 'pop'", "a.country_id = 0", "a.fans > 1000"];
    "J23": "t track" where ["t.bpm between 80 and 90", "not t.explicit", "t.seconds < 200"];
    "J24": "l listener" where ["l.plan = 'student'", "l.born > 1998"];
    "J25": "c country" where ["c.name like 'country 1%'"];
    "J26": "r review, s review" where ["r.album_id = s.album_id", "r.stars = 1", "s.stars = 5", "r.words > 200"];
    "J27": "l listener, r review" where ["r.listener_id = l.id", "r.stars is null", "l.country_id <> 0"];
    "J28": "b album, t track, x playlist_track, p playlist" where ["t.album_id = b.id", "x.track_id = t.id", "x.playlist_id = p.id", "b.id < 100", "x.place < 5"];
    "J29": "a artist, f follow, l listener, p play" where ["f.artist_id = a.id", "f.listener_id = l.id", "p.listener_id = l.id", "a.fans > 100000", "p.day >= date '2024-06-01'"];
    "J30": "c country, a artist, f follow, l listener, d country" where ["a.country_id = c.id", "f.artist_id = a.id", "f.listener_id = l.id", "l.country_id = d.id", "c.region = 'america'", "d.region = 'europe'"];
}

impl Join {
    /// The query over the first one, two, ... of its relations, as FROM and WHERE.
    pub fn parts(&self) -> Vec<String> {
        let relations: Vec<(&str, &str)> = self.from.split(", ").filter_map(|item| item.split_once(' ')).collect();
        let part = |count: usize| {
            let known: Vec<&str> = relations.iter().take(count).map(|(alias, _)| *alias).collect();
            let from: Vec<String> =
                relations.iter().take(count).map(|(alias, table)| format!("{table} {alias}")).collect();
            let conditions: Vec<&str> = self
                .conditions
                .iter()
                .copied()
                .filter(|text| aliases(text).iter().all(|a| known.contains(a)))
                .collect();
            let filter =
                if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
            format!("{}{filter}", from.join(", "))
        };
        (1..=relations.len()).map(part).collect()
    }
}

/// The relations a condition names.
fn aliases(condition: &str) -> Vec<&str> {
    let words = condition.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'));
    words.filter_map(|word| word.split_once('.')).map(|(alias, _)| alias).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_come_with_their_relations() {
        assert_eq!(JOINS.len(), 30);
        assert_eq!(
            JOINS[1].parts(),
            [
                "artist a WHERE a.genre = 'jazz'",
                "artist a, album b WHERE b.artist_id = a.id AND a.genre = 'jazz' AND b.kind = 'live'"
            ]
        );
        for join in JOINS {
            let parts = join.parts();
            let last = parts.last().unwrap();
            assert!(join.conditions.iter().all(|condition| last.contains(condition)), "{}", join.name);
        }
    }
}
