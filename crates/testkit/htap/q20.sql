-- A region's suppliers who have more of some items than was ordered lately.
SELECT su_name, su_address
FROM supplier, nation, region
WHERE su_suppkey IN (
        SELECT mod(s_i_id * s_w_id, 10000)
        FROM stock, order_line
        WHERE s_i_id IN (SELECT i_id FROM item WHERE i_data LIKE 'c%') AND ol_i_id = s_i_id
            AND ol_delivery_d >= timestamp '2026-01-01'
        GROUP BY s_i_id, s_w_id, s_quantity
        HAVING 2 * s_quantity > sum(ol_quantity))
    AND su_nationkey = n_nationkey AND n_regionkey = r_regionkey AND r_name = 'Europe'
ORDER BY su_name
