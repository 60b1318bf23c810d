-- setup.sql - what the specs say in one word. Run once, in a database of their own, whose engine is the fake one.
CREATE EXTENSION dsocr;
ALTER DATABASE isolation SET client_min_messages = warning;

-- Waits for what has to come; there is no time by which it has to.
CREATE PROCEDURE until(condition text) LANGUAGE plpgsql AS $$
DECLARE
    ends timestamptz := clock_timestamp() + current_setting('spec.patience')::interval;
    met bool;
BEGIN
    LOOP
        EXECUTE 'SELECT ' || condition INTO met;
        EXIT WHEN met;
        IF clock_timestamp() > ends THEN RAISE EXCEPTION 'never came: %', condition; END IF;
        PERFORM pg_sleep(0.01), pg_stat_clear_snapshot();
    END LOOP;
END $$;

CREATE PROCEDURE all_read() LANGUAGE sql AS 'CALL until(''dsocr_wait(timeout => ''''0s'''') = 0'')';

-- Three rows that are read.
CREATE PROCEDURE scans(on_delete text DEFAULT 'cascade') LANGUAGE plpgsql AS $$
BEGIN
    CREATE TABLE scans (id int PRIMARY KEY, title text, scan bytea);
    INSERT INTO scans SELECT g, '', convert_to('TEXT:old ' || g, 'UTF8') FROM generate_series(1, 3) g;
    PERFORM dsocr_attach('scans', 'scan', on_delete => on_delete);
    -- What would be the obvious way, and is a mistake: for test/chaos/plants.sh.
    IF current_setting('spec.foreign_key', true) = 'on' THEN
        ALTER TABLE scans_scan_ocr ADD FOREIGN KEY (id) REFERENCES scans ON DELETE CASCADE ON UPDATE CASCADE;
    END IF;
    COMMIT;
    CALL all_read();
END $$;

CREATE PROCEDURE no_scans() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_reload_conf(), dsocr_detach(watch) FROM dsocr.watches;
    DROP TABLE IF EXISTS scans, scans_scan_ocr, others, others_scan_ocr, anew;
END $$;

CREATE FUNCTION watch() RETURNS int LANGUAGE sql AS 'SELECT watch FROM dsocr.watches WHERE source = to_regclass(''scans'')';

-- The fake engine looks at this file before each page (test/fake/faults.h).
CREATE PROCEDURE tell_engine(words text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('COPY (SELECT %L) TO %L', words, current_setting('data_directory') || '/pg_stat_tmp/dsocr.sock.faults');
END $$;

-- The first rows are asked for again. Their results are made doubtful before, so that there is something to store.
CREATE PROCEDURE ask_again(rows int) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE scans_scan_ocr SET search_text = 'doubtful';
    PERFORM dsocr.add_job(watch(), ARRAY[id::text]) FROM generate_series(1, rows) id;
    COMMIT;
END $$;

-- The engine has them, and keeps them until it is let go on.
CREATE PROCEDURE hold(rows int DEFAULT 3) LANGUAGE plpgsql AS $$
BEGIN
    CALL tell_engine('hold=1');
    CALL ask_again(rows);
    CALL until('dsocr_status()->''queue''->''databases''->0->>''reading'' = ' || quote_literal(rows));
END $$;

CREATE PROCEDURE go_on() LANGUAGE sql AS 'CALL tell_engine('''')';

-- It has read them, and the results are stored.
CREATE PROCEDURE read_again() LANGUAGE plpgsql AS $$
BEGIN
    CALL ask_again(3);
    CALL all_read();
END $$;

-- A row is inserted, and read.
CREATE PROCEDURE another() LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO scans VALUES (9, '', 'TEXT:another');
    COMMIT;
    CALL until('EXISTS (SELECT FROM scans_scan_ocr WHERE id = 9 AND search_text = ''another'')');
END $$;

-- So is one of a new table.
CREATE PROCEDURE another_table() LANGUAGE plpgsql AS $$
BEGIN
    CREATE TABLE others (id int PRIMARY KEY, scan bytea);
    PERFORM dsocr_attach('others', 'scan');
    COMMIT;
    INSERT INTO others VALUES (9, 'TEXT:another');
    COMMIT;
    CALL until('EXISTS (SELECT FROM others_scan_ocr)');
END $$;

-- The queue has another worker, who knows the settings of now.
CREATE PROCEDURE another_worker() LANGUAGE plpgsql AS $$
DECLARE
    worker constant text := 'SELECT pid FROM pg_stat_activity WHERE application_name = ''dsocr queue worker'' AND datname = current_database()';
    old int;
BEGIN
    PERFORM pg_reload_conf();
    EXECUTE worker INTO old;
    PERFORM pg_terminate_backend(old);
    CALL until(format('(%s) <> %s', worker, old));
END $$;

-- The row that waits for a lock has been tried so often again.
CREATE PROCEDURE tries_again(times int) LANGUAGE plpgsql AS $$
DECLARE
    last timestamptz;
BEGIN
    FOR i IN 1 .. times LOOP
        SELECT max(not_before) INTO last FROM dsocr.jobs;
        CALL until(format('EXISTS (SELECT FROM dsocr.jobs WHERE not_before > %L)', last));
    END LOOP;
END $$;
