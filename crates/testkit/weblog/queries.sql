-- W01 all rows
SELECT count(*) FROM hits;
-- W02 few rows by a column mostly zero
SELECT count(*) FROM hits WHERE adv_engine <> 0;
-- W03 plain sums and an average
SELECT sum(adv_engine), count(*), avg(screen_width), sum(bytes_sent) FROM hits;
-- W04 average of large numbers
SELECT avg(user_id) FROM hits;
-- W05 distinct users
SELECT count(DISTINCT user_id) FROM hits;
-- W06 distinct texts, most of them empty
SELECT count(DISTINCT search_phrase) FROM hits;
-- W07 extremes of dates and texts
SELECT min(event_date), max(event_date), min(url), max(title) FROM hits;
-- W08 groups of a rare value
SELECT adv_engine, count(*) AS n FROM hits WHERE adv_engine <> 0 GROUP BY adv_engine ORDER BY n DESC, adv_engine;
-- W09 distinct users a region
SELECT region_id, count(DISTINCT user_id) AS users FROM hits GROUP BY region_id ORDER BY users DESC, region_id LIMIT 10;
-- W10 several aggregates a region
SELECT region_id, sum(adv_engine), count(*) AS n, avg(screen_width), count(DISTINCT user_id)
FROM hits GROUP BY region_id ORDER BY n DESC, region_id LIMIT 10;
-- W11 distinct users of a phone
SELECT phone_model, count(DISTINCT user_id) AS users FROM hits WHERE phone_model <> ''
GROUP BY phone_model ORDER BY users DESC, phone_model LIMIT 10;
-- W12 the same by two texts
SELECT phone_maker, phone_model, count(DISTINCT user_id) AS users, count(*) FROM hits WHERE phone_model <> ''
GROUP BY phone_maker, phone_model ORDER BY users DESC, phone_maker, phone_model LIMIT 10;
-- W13 most frequent phrases
SELECT search_phrase, count(*) AS n FROM hits WHERE search_phrase <> ''
GROUP BY search_phrase ORDER BY n DESC, search_phrase LIMIT 10;
-- W14 phrases of most users
SELECT search_phrase, count(DISTINCT user_id) AS users FROM hits WHERE search_phrase <> ''
GROUP BY search_phrase ORDER BY users DESC, search_phrase LIMIT 10;
-- W15 phrases of an engine
SELECT search_engine, search_phrase, count(*) AS n FROM hits WHERE search_phrase <> ''
GROUP BY search_engine, search_phrase ORDER BY n DESC, search_engine, search_phrase LIMIT 10;
-- W16 most active users
SELECT user_id, count(*) AS n FROM hits GROUP BY user_id ORDER BY n DESC, user_id LIMIT 10;
-- W17 users and what they look for
SELECT user_id, search_phrase, count(*) AS n FROM hits
GROUP BY user_id, search_phrase ORDER BY n DESC, user_id, search_phrase LIMIT 10;
-- W18 how many users come how often
SELECT n, count(*) AS users FROM (SELECT user_id, count(*) AS n FROM hits GROUP BY user_id) AS t
GROUP BY n ORDER BY n DESC LIMIT 20;
-- W19 users by minute and phrase
SELECT user_id, extract(minute FROM event_time) AS m, search_phrase, count(*) AS n FROM hits
GROUP BY user_id, m, search_phrase ORDER BY n DESC, user_id, m, search_phrase LIMIT 10;
-- W20 one user
SELECT id, event_time, url FROM hits WHERE user_id = 4858116031665395457 ORDER BY id LIMIT 100;
-- W21 a word in a long text
SELECT count(*) FROM hits WHERE url LIKE '%harbour%';
-- W22 phrases that led to it
SELECT search_phrase, min(url), count(*) AS n FROM hits WHERE url LIKE '%harbour%' AND search_phrase <> ''
GROUP BY search_phrase ORDER BY n DESC, search_phrase LIMIT 10;
-- W23 two patterns, extremes of texts
SELECT search_phrase, min(url), min(title), count(*) AS n, count(DISTINCT user_id) FROM hits
WHERE title LIKE '%Violet%' AND url NOT LIKE '%.shop.%' AND search_phrase <> ''
GROUP BY search_phrase ORDER BY n DESC, search_phrase LIMIT 10;
-- W24 whole rows, the first by time
SELECT * FROM hits WHERE url LIKE '%harbour%' ORDER BY event_time, id LIMIT 10;
-- W25 the newest phrases
SELECT search_phrase, event_time FROM hits WHERE search_phrase <> '' ORDER BY event_time DESC, search_phrase LIMIT 10;
-- W26 the first phrases of the alphabet
SELECT search_phrase FROM hits WHERE search_phrase <> '' ORDER BY search_phrase LIMIT 10;
-- W27 whole rows of the slowest responses
SELECT * FROM hits ORDER BY response_ms DESC, id LIMIT 20;
-- W28 length of texts a site
SELECT counter_id, avg(length(url)) AS l, count(*) AS n FROM hits WHERE url <> ''
GROUP BY counter_id HAVING count(*) > 1000 ORDER BY l DESC, counter_id LIMIT 25;
-- W29 hosts cut out of addresses
SELECT regexp_replace(referer, '^https?://(?:www\.)?([^/]+)/.*$', '\1') AS host, avg(length(referer)) AS l, count(*) AS n, min(referer)
FROM hits WHERE referer <> '' GROUP BY host HAVING count(*) > 100 ORDER BY n DESC, host LIMIT 25;
-- W30 many sums
SELECT sum(screen_width), sum(screen_width + 1), sum(screen_width + 2), sum(screen_width + 3), sum(screen_width + 4),
       sum(screen_width + 5), sum(screen_width + 6), sum(screen_width + 7), sum(screen_width + 8), sum(screen_width + 9),
       sum(screen_width + 10), sum(screen_width + 11), sum(screen_width + 12), sum(screen_width + 13), sum(screen_width + 14),
       sum(screen_width + 15), sum(screen_width + 16), sum(screen_width + 17), sum(screen_width + 18), sum(screen_width + 19),
       sum(screen_width + 20), sum(screen_width + 21), sum(screen_width + 22), sum(screen_width + 23), sum(screen_width + 24),
       sum(screen_width + 25), sum(screen_width + 26), sum(screen_width + 27), sum(screen_width + 28), sum(screen_width + 29),
       sum(screen_width + 30), sum(screen_width + 31), sum(screen_width + 32), sum(screen_width + 33), sum(screen_width + 34),
       sum(screen_width + 35), sum(screen_width + 36), sum(screen_width + 37), sum(screen_width + 38), sum(screen_width + 39),
       sum(screen_width + 40), sum(screen_width + 41), sum(screen_width + 42), sum(screen_width + 43), sum(screen_width + 44),
       sum(screen_width + 45), sum(screen_width + 46), sum(screen_width + 47), sum(screen_width + 48), sum(screen_width + 49),
       sum(screen_width + 50), sum(screen_width + 51), sum(screen_width + 52), sum(screen_width + 53), sum(screen_width + 54),
       sum(screen_width + 55), sum(screen_width + 56), sum(screen_width + 57), sum(screen_width + 58), sum(screen_width + 59)
FROM hits;
-- W31 two numbers where few rows are
SELECT search_engine, client_ip, count(*) AS n, sum(is_refresh), avg(screen_width) FROM hits WHERE search_phrase <> ''
GROUP BY search_engine, client_ip ORDER BY n DESC, search_engine, client_ip LIMIT 10;
-- W32 nearly as many groups as rows, of few rows
SELECT request_hash, client_ip, count(*) AS n, sum(is_refresh), avg(screen_width) FROM hits WHERE search_phrase <> ''
GROUP BY request_hash, client_ip ORDER BY n DESC, request_hash, client_ip LIMIT 10;
-- W33 nearly as many groups as rows
SELECT request_hash, client_ip, count(*) AS n, sum(is_refresh), avg(screen_width) FROM hits
GROUP BY request_hash, client_ip ORDER BY n DESC, request_hash, client_ip LIMIT 10;
-- W34 most frequent addresses
SELECT url, count(*) AS n FROM hits GROUP BY url ORDER BY n DESC, url LIMIT 10;
-- W35 addresses and their titles
SELECT url, title, count(*) AS n, sum(response_ms) FROM hits GROUP BY url, title ORDER BY n DESC, url, title LIMIT 10;
-- W36 expressions of one column as groups
SELECT client_ip, client_ip - 1, client_ip - 2, client_ip % 256, count(*) AS n FROM hits
GROUP BY client_ip, client_ip - 1, client_ip - 2, client_ip % 256 ORDER BY n DESC, client_ip LIMIT 10;
-- W37 a site's pages of a week
SELECT url, count(*) AS views FROM hits
WHERE counter_id = 3 AND event_date BETWEEN '2026-03-08' AND '2026-03-14' AND dont_count = 0 AND is_refresh = 0
GROUP BY url ORDER BY views DESC, url LIMIT 10;
-- W38 a site's titles without reloads, from a later page
SELECT title, count(*) AS views FROM hits
WHERE counter_id = 3 AND event_date >= '2026-03-01' AND event_date <= '2026-03-31' AND dont_count = 0 AND is_refresh = 0 AND title <> ''
GROUP BY title ORDER BY views DESC, title LIMIT 10 OFFSET 20;
-- W39 where visitors come from and go to
SELECT traffic_source, search_engine, adv_engine, CASE WHEN search_engine = 0 AND adv_engine = 0 THEN referer ELSE '' END AS came_from,
       url, count(*) AS views
FROM hits WHERE counter_id < 20 AND event_date BETWEEN '2026-03-01' AND '2026-03-20' AND is_refresh = 0
GROUP BY traffic_source, search_engine, adv_engine, came_from, url
ORDER BY views DESC, traffic_source, search_engine, adv_engine, came_from, url LIMIT 10 OFFSET 50;
-- W40 a page by day, found by its hash
SELECT url_hash, event_date, count(*) AS views FROM hits WHERE url_hash = 5421344694654669736 AND is_refresh = 0
GROUP BY url_hash, event_date ORDER BY views DESC, event_date LIMIT 31;
-- W41 sizes of windows
SELECT window_width, window_height, count(*) AS n FROM hits WHERE is_mobile = 0 AND counter_id BETWEEN 5 AND 50
GROUP BY window_width, window_height ORDER BY n DESC, window_width, window_height LIMIT 10 OFFSET 10;
-- W42 minutes of two days
SELECT date_trunc('minute', event_time) AS minute, count(*) AS n, sum(bytes_sent) FROM hits
WHERE event_date BETWEEN '2026-03-14' AND '2026-03-15' AND dont_count = 0
GROUP BY minute ORDER BY minute OFFSET 100 LIMIT 20;
-- W43 hours, mobile share, money and distinct visits
SELECT date_trunc('hour', event_time) AS hour, count(*), sum(is_mobile) * 100.0 / count(*), sum(order_price), count(DISTINCT visit_id),
       max(response_ms), sum(CASE WHEN http_status >= 500 THEN 1 ELSE 0 END)
FROM hits GROUP BY hour ORDER BY hour DESC LIMIT 48;
