//! A music service: ten tables with skewed and correlated columns, the same rows every time.
//!
//! Who and what is popular follows a power of a uniform draw; genres go with countries, plans with ages, devices with plans, years
//! of albums with their artists', tempo and lyrics with genres. Estimates that take conditions to be independent are wrong here, as they are
//! on real data (Leis et al., "How good are query optimizers, really?", 2015).

/// The tables in loading order.
pub(super) const SCHEMA: &str = "
CREATE TABLE country (id int PRIMARY KEY, name text NOT NULL, region text NOT NULL);
CREATE TABLE artist (id int PRIMARY KEY, country_id int NOT NULL, genre text NOT NULL, started int NOT NULL, fans int);
CREATE TABLE album (id int PRIMARY KEY, artist_id int NOT NULL, year int NOT NULL, kind text NOT NULL);
CREATE TABLE track (id int PRIMARY KEY, album_id int NOT NULL, seconds int NOT NULL, explicit bool NOT NULL, bpm int);
CREATE TABLE listener (id int PRIMARY KEY, country_id int NOT NULL, born int NOT NULL, plan text NOT NULL, joined date NOT NULL);
CREATE TABLE play (id int PRIMARY KEY, listener_id int NOT NULL, track_id int NOT NULL, day date NOT NULL, device text NOT NULL);
CREATE TABLE playlist (id int PRIMARY KEY, listener_id int NOT NULL, shared bool NOT NULL);
CREATE TABLE playlist_track (playlist_id int, place int, track_id int NOT NULL, PRIMARY KEY (playlist_id, place));
CREATE TABLE follow (listener_id int, artist_id int, since date NOT NULL, PRIMARY KEY (listener_id, artist_id));
CREATE TABLE review (id int PRIMARY KEY, album_id int NOT NULL, listener_id int NOT NULL, stars int, words int NOT NULL);
";

pub(super) const TABLES: [&str; 10] =
    ["country", "artist", "album", "track", "listener", "play", "playlist", "playlist_track", "follow", "review"];

const GENRES: [&str; 12] =
    ["pop", "rock", "hiphop", "folk", "jazz", "classical", "metal", "techno", "reggae", "soul", "country", "ambient"];
const REGIONS: [&str; 5] = ["europe", "asia", "america", "africa", "oceania"];
const DEVICES: [&str; 4] = ["phone", "desktop", "speaker", "car"];

/// SplitMix64.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Below `n`; the higher the power, the more of the first.
    fn skewed(&mut self, n: usize, power: i32) -> usize {
        ((n as f64 * self.unit().powi(power)) as usize).min(n - 1)
    }

    fn below(&mut self, n: usize) -> usize {
        self.skewed(n, 1)
    }

    fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }
}

fn day(from: i32, offset: usize) -> String {
    // Months of 28 days: every one of them is a date.
    let offset = offset as i32;
    format!("{:04}-{:02}-{:02}", from + offset / 336, offset / 28 % 12 + 1, offset % 28 + 1)
}

/// The rows of each table as COPY reads them.
pub(super) fn rows(scale: f64) -> Vec<(&'static str, String)> {
    let of = |rows: f64| ((rows * scale) as usize).max(40);
    let (artists, albums, tracks) = (of(5_000.0), of(20_000.0), of(100_000.0));
    let (listeners, plays, playlists) = (of(20_000.0), of(500_000.0), of(10_000.0));
    let mut draw = Draw(42);
    let mut out: Vec<(&'static str, String)> = TABLES.iter().map(|table| (*table, String::new())).collect();
    let mut put = |table: usize, row: String| {
        out[table].1.push_str(&row);
        out[table].1.push('\n');
    };
    for id in 0..40 {
        put(0, format!("{id}\tcountry {id}\t{}", REGIONS[id % 5]));
    }
    let mut artist_of = Vec::with_capacity(artists);
    for id in 0..artists {
        let country = draw.skewed(40, 2);
        let genre = if draw.chance(0.7) { (country * 7 + draw.skewed(3, 2)) % 12 } else { draw.skewed(12, 2) };
        let started = 1950 + draw.below(70) as i32;
        let fans = if draw.chance(0.1) { "\\N".into() } else { (2_000_000 / (id + 1) + draw.below(100)).to_string() };
        put(1, format!("{id}\t{country}\t{}\t{started}\t{fans}", GENRES[genre]));
        artist_of.push((genre, started));
    }
    let mut album_of = Vec::with_capacity(albums);
    for id in 0..albums {
        let artist = draw.skewed(artists, 2);
        let (genre, started) = artist_of[artist];
        let year = (started + draw.skewed(25, 2) as i32).min(2024);
        let single = draw.chance(if year < 1970 { 0.8 } else { 0.3 });
        let kind = if single {
            "single"
        } else if draw.chance(0.12) {
            "live"
        } else {
            "album"
        };
        put(2, format!("{id}\t{artist}\t{year}\t{kind}"));
        album_of.push((genre, single));
    }
    for id in 0..tracks {
        let album = draw.skewed(albums, 1);
        let (genre, single) = album_of[album];
        let seconds = if single { 150 + draw.below(90) } else { 180 + draw.below(120) + draw.skewed(600, 6) };
        let explicit = draw.chance(if genre == 2 { 0.6 } else { 0.04 });
        let bpm = if draw.chance(0.05) { "\\N".into() } else { (70 + genre * 8 + draw.below(20)).to_string() };
        put(3, format!("{id}\t{album}\t{seconds}\t{}\t{bpm}", if explicit { "t" } else { "f" }));
    }
    let mut plan_of = Vec::with_capacity(listeners);
    for id in 0..listeners {
        let (country, born) = (draw.skewed(40, 3), 2010 - draw.skewed(65, 2) as i32);
        let plan = match (born > 1998, draw.unit()) {
            (true, share) if share < 0.5 => "student",
            (true, share) if share < 0.95 => "free",
            (false, share) if share < 0.3 => "free",
            (false, share) if share < 0.6 => "family",
            _ => "premium",
        };
        put(4, format!("{id}\t{country}\t{born}\t{plan}\t{}", day(2015, draw.skewed(3000, 1))));
        plan_of.push(plan);
    }
    for id in 0..plays {
        let listener = draw.skewed(listeners, 2);
        let device = match plan_of[listener] {
            "free" if draw.chance(0.85) => 0,
            "student" if draw.chance(0.7) => 0,
            "family" if draw.chance(0.5) => 2,
            _ => draw.below(4),
        };
        let row = (draw.skewed(tracks, 4), day(2023, draw.skewed(600, 1)));
        put(5, format!("{id}\t{listener}\t{}\t{}\t{}", row.0, row.1, DEVICES[device]));
    }
    for id in 0..playlists {
        put(6, format!("{id}\t{}\t{}", draw.skewed(listeners, 2), if draw.chance(0.1) { "t" } else { "f" }));
        for place in 0..1 + draw.skewed(45, 2) {
            put(7, format!("{id}\t{place}\t{}", draw.skewed(tracks, 3)));
        }
    }
    for listener in 0..listeners {
        let mut followed: Vec<usize> = (0..draw.skewed(14, 2)).map(|_| draw.skewed(artists, 3)).collect();
        followed.sort_unstable();
        followed.dedup();
        for artist in followed {
            put(8, format!("{listener}\t{artist}\t{}", day(2018, draw.skewed(2000, 1))));
        }
    }
    for id in 0..of(60_000.0) {
        let (album, listener) = (draw.skewed(albums, 3), draw.skewed(listeners, 2));
        let stars = if draw.chance(0.08) { "\\N".into() } else { (5 - draw.skewed(5, 2)).to_string() };
        put(9, format!("{id}\t{album}\t{listener}\t{stars}\t{}", 5 + draw.skewed(400, 3)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_the_same_every_time() {
        let (first, second) = (rows(0.01), rows(0.01));
        assert_eq!(first, second);
        let lines: Vec<usize> = first.iter().map(|(_, rows)| rows.lines().count()).collect();
        assert_eq!((lines[0], lines[1], lines[3], lines[5]), (40, 50, 1000, 5000));
        assert!(first.iter().all(|(_, rows)| !rows.is_empty()));
    }
}
