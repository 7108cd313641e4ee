//! The rows, the same every time for a number of rows, made as they are sent.
//!
//! What is popular follows Zipf's law (log-uniform draws): sites, pages, half of the users, phrases. The rest goes with it:
//! a page has one site, title and hash; a user one region, device, language and age; a search has a referer and a phrase.

use std::fmt::Write;

/// SplitMix64's last step: spreads a number over 64 bits.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A hash as a positive bigint.
fn hash(kind: u64, number: u64) -> i64 {
    (mix(mix(kind) ^ number) >> 1) as i64
}

const USER: u64 = 1;
const URL: u64 = 2;
const REFERER: u64 = 3;
const REQUEST: u64 = 4;
const VISIT: u64 = 5;
const ADDRESS: u64 = 6;

/// Days of the log: March 2026.
const DAYS: u64 = 31;

const WORDS: [&str; 64] = [
    "harbour",
    "violet",
    "engine",
    "market",
    "winter",
    "garden",
    "copper",
    "river",
    "planet",
    "bridge",
    "forest",
    "silver",
    "museum",
    "orange",
    "ticket",
    "camera",
    "butter",
    "mirror",
    "window",
    "pepper",
    "castle",
    "valley",
    "summer",
    "rocket",
    "guitar",
    "island",
    "carpet",
    "marble",
    "saddle",
    "velvet",
    "anchor",
    "lemon",
    "wagon",
    "crystal",
    "compass",
    "lantern",
    "feather",
    "blanket",
    "kitchen",
    "theatre",
    "journal",
    "printer",
    "bicycle",
    "mountain",
    "elephant",
    "umbrella",
    "погода",
    "билеты",
    "музыка",
    "карта",
    "новости",
    "рецепт",
    "zürich",
    "crème",
    "天気",
    "地図",
    "cheap",
    "review",
    "price",
    "near",
    "how",
    "best",
    "used",
    "free",
];
const SECTIONS: [&str; 8] = ["news", "shop", "forum", "video", "help", "search", "profile", "archive"];
const ENGINES: [&str; 5] =
    ["www.findly.example", "seek.example", "www.lookup.example", "ask.example", "search.example"];
const SYSTEMS: [&str; 6] = ["Windows", "Android", "iOS", "Linux", "macOS", "Other"];
const COUNTRIES: [&str; 12] = ["de", "us", "fr", "in", "br", "ru", "jp", "gb", "it", "es", "pl", "tr"];
const MAKERS: [&str; 6] = ["Nordic", "Apricot", "Sunstar", "Kilo", "Meridian", "Ohm"];
const SIZES: [(u16, u16); 8] =
    [(1920, 1080), (1366, 768), (390, 844), (1536, 864), (412, 915), (2560, 1440), (1280, 720), (768, 1024)];
const NETWORKS: [&str; 4] = ["chatter", "faces", "pictures", "clips"];

struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Below `n`, as often as one by its rank.
    fn zipf(&mut self, n: u64) -> u64 {
        (((n + 1) as f64).powf(self.unit()) - 1.0) as u64
    }

    /// In so many of a thousand.
    fn in_thousand(&mut self, n: u64) -> bool {
        self.below(1000) < n
    }
}

/// A log of so many rows, read from its start.
pub struct Log {
    rows: u64,
    next: u64,
    draw: Draw,
}

impl Log {
    pub fn new(rows: u64) -> Log {
        Log { rows, next: 0, draw: Draw(0x1095_0000) }
    }

    /// Appends up to `count` rows as lines of CSV whose NULL is `\N`; whether there were any.
    pub fn append(&mut self, out: &mut String, count: u64) -> bool {
        let last = (self.next + count).min(self.rows);
        let any = self.next < last;
        while self.next < last {
            self.row(out);
            self.next += 1;
        }
        any
    }

    fn row(&mut self, out: &mut String) {
        let (id, rows) = (self.next, self.rows);
        let users = (rows / 5).max(100);
        let user = if self.draw.in_thousand(500) { self.draw.zipf(users) } else { self.draw.below(users) };
        let page = self.draw.zipf((rows / 5).max(1000));
        let about = mix(mix(USER + 100) ^ user);
        let second = (id * DAYS * 86_400 / rows + self.draw.below(20)).min(DAYS * 86_400 - 1);
        let (day, second) = (second / 86_400, second % 86_400);
        let date = format_args!("2026-03-{:02}", day + 1).to_string();
        let (hour, minute) = (second / 3600, second / 60 % 60);
        // A visit is a user's hour.
        let visit = mix(user) ^ (day * 24 + hour);
        let address = hash(ADDRESS, user / 3) as u64 % 0x7fff_0000 + 16;
        write(out, format_args!("{id},{date} {hour:02}:{minute:02}:{:02},{date},", second % 60));
        write(out, format_args!("{},{},", site_of(page), hash(USER, user)));
        write(out, format_args!("{},{},{address},", hash(VISIT, visit), hash(REQUEST, id)));
        write(out, format_args!("{},", region_of(about)));
        push_url(out, page);
        write(out, format_args!(",{},", hash(URL, page)));
        push_title(out, page);
        out.push(',');
        let found = self.found(out);
        self.visitor(out, about);
        self.flags(out, id);
        self.timings(out);
        self.rarities(out, found);
        out.push('\n');
    }

    /// Referer, its hash, search engine, phrase, advertisement, source; whether by a search.
    fn found(&mut self, out: &mut String) -> bool {
        let kind = self.draw.below(100);
        if kind < 13 {
            let phrase = self.draw.zipf((self.rows / 20).max(200));
            let engine = self.draw.zipf(ENGINES.len() as u64);
            write(out, format_args!("https://{}/q/{phrase:x},", ENGINES[engine as usize]));
            write(out, format_args!("{},{},", hash(REFERER, phrase), engine + 1));
            push_phrase(out, phrase);
            let adv = if self.draw.in_thousand(40) { self.draw.zipf(20) + 1 } else { 0 };
            write(out, format_args!(",{adv},{},", if adv > 0 { 3 } else { 2 }));
            return true;
        }
        if kind < 75 {
            let page = self.draw.zipf((self.rows / 8).max(1000));
            push_url(out, page.wrapping_mul(7));
            write(out, format_args!(",{},", hash(REFERER, page << 32)));
        } else {
            write(out, format_args!(",{},", hash(REFERER, 0)));
        }
        let adv = if self.draw.in_thousand(4) { self.draw.zipf(20) + 1 } else { 0 };
        write(out, format_args!("0,,{adv},{},", if kind < 75 { 1 } else { 0 }));
        false
    }

    /// Operating system to robot score: what goes with the user.
    fn visitor(&mut self, out: &mut String, about: u64) {
        let system = skewed(about, SYSTEMS.len() as u64) as usize;
        let mobile = system == 1 || system == 2;
        let browser = skewed(about >> 8, 30);
        let country = COUNTRIES[skewed(about >> 16, 12) as usize];
        let version = 60 + skewed(about >> 20, 80);
        write(out, format_args!("{},{},{browser},{version},", system * 10 + (about % 7) as usize, SYSTEMS[system]));
        write(out, format_args!("{}.{},", about % 4, skewed(about >> 24, 900)));
        write(out, format_args!("{country}-{country},{country},{},", u8::from(mobile)));
        if mobile && about & 0x300 != 0 {
            let maker = MAKERS[skewed(about >> 28, 6) as usize];
            write(out, format_args!("{maker},{maker} {},", skewed(about >> 32, 160)));
        } else {
            out.push_str(",,");
        }
        let (width, height) = SIZES[skewed(about >> 36, 8) as usize];
        let (inner, outer) = (about >> 40 & 31, about >> 45 & 63);
        write(out, format_args!("{width},{height},{},", if about & 0x70 == 0 { 30 } else { 24 }));
        write(out, format_args!("{},{},", width - inner as u16, height - 80 - outer as u16));
        let zone = (skewed(about >> 50, 12) as i64 - 4) * 60;
        let known = about.is_multiple_of(3);
        let of = |value: u64| if known { value } else { 0 };
        write(out, format_args!("{zone},{},{},", of(16 + (about >> 5) % 55), of(1 + about % 2)));
        write(out, format_args!("{},{},{},", of(about % 5), of(about >> 7 & 0xfff), skewed(about >> 9, 40) / 8));
    }

    /// Flags and short numbers up to the charset.
    fn flags(&mut self, out: &mut String, id: u64) {
        for share in [130, 60, 12, 2, 380, 150, 90, 30, 8, 45] {
            out.push_str(if self.draw.in_thousand(share) { "1," } else { "0," });
        }
        let status = match self.draw.below(1000) {
            0..940 => 200,
            940..965 => 304,
            965..985 => 404,
            985..997 => 302,
            _ => 503,
        };
        let method = if self.draw.in_thousand(30) { "POST" } else { "GET" };
        write(out, format_args!("{},{},", self.draw.zipf(50), mix(id) as u32 & 0x3fff_ffff));
        write(
            out,
            format_args!("{status},{method},{},", if self.draw.in_thousand(60) { "windows-1251" } else { "utf-8" }),
        );
    }

    /// Sizes and times: three requests in ten tell of them.
    fn timings(&mut self, out: &mut String) {
        write(out, format_args!("{},", 300 + self.draw.zipf(400_000)));
        if self.draw.in_thousand(300) {
            for most in [300, 500, 40, 4_000, 20_000, 60_000] {
                write(out, format_args!("{},", self.draw.zipf(most)));
            }
            write(out, format_args!("{}.{},", self.draw.below(100), self.draw.below(10)));
        } else {
            out.push_str("0,0,0,0,0,0,0,");
        }
        let plugin = self.draw.in_thousand(70);
        write(out, format_args!("{},1,1.{},", u8::from(self.draw.in_thousand(400)), self.draw.zipf(9)));
        if plugin {
            write(out, format_args!("{},{},r{},", 9 + self.draw.below(4), self.draw.zipf(4), self.draw.zipf(300)));
        } else {
            out.push_str("0,0,,");
        }
    }

    /// What few rows have: social actions, orders, campaigns, errors.
    fn rarities(&mut self, out: &mut String, found: bool) {
        if self.draw.in_thousand(3) {
            let network = NETWORKS[self.draw.zipf(4) as usize];
            write(out, format_args!("{network},share,/{network}/{},", self.draw.zipf(5000)));
        } else {
            out.push_str(",,,");
        }
        if self.draw.in_thousand(6) {
            let order = self.draw.next() >> 40;
            write(out, format_args!("{},O-{order:06x},", self.draw.zipf(30) + 1));
            write(out, format_args!("{}.{:02},EUR,", 5 + self.draw.zipf(900), self.draw.below(100)));
        } else {
            out.push_str("0,,0.00,,");
        }
        if self.draw.in_thousand(50) {
            write(out, format_args!("ab={}&v={},", self.draw.below(16), self.draw.zipf(2000)));
        } else {
            out.push(',');
        }
        if found && self.draw.in_thousand(120) {
            write(out, format_args!("findly,cpc,spring-{},text{},", self.draw.zipf(300), self.draw.zipf(40)));
            push_phrase(out, self.draw.zipf(1000));
            out.push(',');
        } else {
            out.push_str(",,,,,");
        }
        if self.draw.in_thousand(5) {
            write(out, format_args!("direct,c{},{},feed,1,", self.draw.zipf(800), self.draw.zipf(90_000)));
        } else {
            out.push_str(",,,,0,");
        }
        if self.draw.in_thousand(10) {
            write(out, format_args!("error {} in line {},", self.draw.zipf(20), self.draw.zipf(700)));
        } else {
            out.push_str("\\N,");
        }
        if self.draw.in_thousand(200) {
            write(out, format_args!("{}", self.draw.below(24)));
        } else {
            out.push_str("\\N");
        }
    }
}

fn write(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("a String takes what is written");
}

/// Below `n`, low ones most often, from bits of a hash.
fn skewed(bits: u64, n: u64) -> u64 {
    let share = (bits & 0xffff) as f64 / 65_536.0;
    ((share * share * n as f64) as u64).min(n - 1)
}

fn region_of(about: u64) -> u64 {
    let share = (about >> 12 & 0xf_ffff) as f64 / 1_048_576.0;
    5000_f64.powf(share) as u64
}

/// Popular pages are of few sites, rare ones of many.
fn site_of(page: u64) -> u64 {
    let bits = mix(page ^ 0x517e);
    let share = (bits >> 11) as f64 / (1_u64 << 53) as f64;
    6000_f64.powf(share) as u64
}

fn word(bits: u64) -> &'static str {
    WORDS[skewed(bits, 64) as usize]
}

fn push_url(out: &mut String, page: u64) {
    let (bits, site) = (mix(page ^ 0x0421), site_of(page));
    let section = SECTIONS[skewed(bits, 8) as usize];
    let host = if site.is_multiple_of(3) { "www." } else { "" };
    write(out, format_args!("https://{host}site{site}.{section}.example/{section}/"));
    // Two words in four addresses, one otherwise; only the plain ones, as addresses are encoded.
    let plain = |bits: u64| WORDS[(skewed(bits, 46) as usize).min(45)];
    match bits >> 60 {
        0..4 => write(out, format_args!("{}-{}/{page}", plain(bits >> 16 ^ 0x51), plain(bits >> 32))),
        4..13 => write(out, format_args!("{}/{page}.html", plain(!(bits >> 16)))),
        _ => write(out, format_args!("{}?id={page}&session={:016x}&from=list", plain(bits >> 32), mix(bits))),
    }
}

fn push_title(out: &mut String, page: u64) {
    let bits = mix(page ^ 0x0717);
    if bits.is_multiple_of(11) {
        return;
    }
    let first = word(bits >> 4);
    let mut letters = first.chars();
    out.extend(letters.next().into_iter().flat_map(char::to_uppercase));
    out.push_str(letters.as_str());
    write(out, format_args!(" {} {} - site {} ({})", word(bits >> 20), word(bits >> 36), site_of(page), page % 1000));
}

fn push_phrase(out: &mut String, phrase: u64) {
    let bits = mix(phrase ^ 0x0f4a);
    write(out, format_args!("{} {}", word(bits), word(bits >> 16)));
    for at in 0..bits >> 62 {
        write(out, format_args!(" {}", word(bits >> (20 + 8 * at))));
    }
    if phrase > 400 {
        write(out, format_args!(" {}", phrase % 4099));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weblog::{SCHEMA, queries};

    fn lines(rows: u64, at_once: u64) -> String {
        let (mut log, mut out) = (Log::new(rows), String::new());
        while log.append(&mut out, at_once) {}
        out
    }

    #[test]
    fn rows_are_the_same_however_they_are_asked_for_and_fit_the_table() {
        let all = lines(2_000, 2_000);
        assert_eq!(all, lines(2_000, 7));
        let columns = SCHEMA.lines().filter(|line| line.starts_with("    ")).count();
        assert_eq!(columns, 88);
        assert_eq!(all.lines().count(), 2_000);
        for line in all.lines() {
            assert_eq!(line.split(',').count(), columns, "{line}");
        }
    }

    #[test]
    fn constants_of_queries_are_of_frequent_values() {
        let sql = |number: usize| queries()[number - 1].1;
        assert!(sql(20).contains(&hash(USER, 3).to_string()), "{}", hash(USER, 3));
        assert!(sql(40).contains(&hash(URL, 2).to_string()), "{}", hash(URL, 2));
        let all = lines(5_000, 5_000);
        assert!(all.contains(&hash(USER, 3).to_string()) && all.contains(&hash(URL, 2).to_string()));
    }

    #[test]
    fn few_values_are_frequent_and_many_are_empty() {
        let all = lines(20_000, 20_000);
        let share = |column: usize, what: &dyn Fn(&str) -> bool| {
            let values = all.lines().filter_map(|line| line.split(',').nth(column));
            values.filter(|value| what(value)).count() as f64 / 20_000.0
        };
        let top_site = (1..50).map(|site| share(3, &|value| value == site.to_string())).fold(0.0, f64::max);
        assert!((0.05..0.5).contains(&top_site), "{top_site}");
        assert!((0.85..0.9).contains(&share(15, &str::is_empty)));
        assert!(share(72, &str::is_empty) > 0.98);
        assert!(share(86, &|value| value == "\\N") > 0.98);
    }
}
