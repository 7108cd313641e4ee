-- Revenue of what was delivered in usual quantities.
SELECT sum(ol_amount) AS revenue, count(*) AS lines
FROM order_line
WHERE ol_delivery_d >= timestamp '2026-01-01' AND ol_delivery_d < timestamp '2100-01-01' AND ol_quantity BETWEEN 1 AND 9
