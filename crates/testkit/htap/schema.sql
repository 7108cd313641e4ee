CREATE TABLE region (r_regionkey integer PRIMARY KEY, r_name varchar(25) NOT NULL, r_comment varchar(100) NOT NULL);
CREATE TABLE nation (n_nationkey integer PRIMARY KEY, n_name varchar(25) NOT NULL, n_regionkey integer NOT NULL,
    n_comment varchar(100) NOT NULL);
CREATE TABLE supplier (su_suppkey integer PRIMARY KEY, su_name char(25) NOT NULL, su_address varchar(40) NOT NULL,
    su_nationkey integer NOT NULL, su_phone char(15) NOT NULL, su_acctbal numeric(12,2) NOT NULL,
    su_comment varchar(100) NOT NULL);
